"""The root file system: its own mounts, propagation, and the change into it."""

from __future__ import annotations

import posix
from errno import EINVAL, ENOSYS, EPERM

from corten.errors import InvalidArgument
from corten.kernel import mounts as k
from corten.kernel.paths import fsdecode, fsencode
from corten.oci import trees
from corten.oci.mountoptions import PROPAGATION, Options
from corten.oci.paths import fd_path
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context

# Options of a mount(2) call have to fit one page with their NUL.
_PAGE = 4095


class IsolateMounts(Struct):
    """Nothing that is mounted from now on is seen by the host.

    Slaves still receive what the host mounts later. Volumes that are to be shared with the
    host were captured before, so that this can hold for every container.
    """

    private: bool

    @property
    def name(self) -> str:
        return f"make mounts {'private' if self.private else 'slaves'}"

    def describe(self) -> str:
        return self.name

    def execute(self, context: Context) -> None:
        k.mount("", "/", "", k.MS_REC | (k.MS_PRIVATE if self.private else k.MS_SLAVE))


class RootMount(Struct):
    """One of the mounts that make the root file system, given by the engine."""

    type: str
    source: str
    target: str  # below the root file system, "" the root itself
    options: Options

    @property
    def name(self) -> str:
        return f"mount {self.type} as root file system" + (self.target and f" at {self.target}")

    def describe(self) -> str:
        return f"{self.name} from {self.source} {self.options.data}"

    def execute(self, context: Context) -> None:
        if self.options.flags & k.MS_BIND:
            self._bind(context)
        elif self.target:
            self._at(context, self.options.data)
        elif self.type == "overlay":
            mount_overlay(self.source, context.rootfs, self.options.flags, self.options.data)
        else:
            k.mount(self.source, context.rootfs, self.type, self.options.flags, self.options.data)
        if not self.target:
            context.open_root()

    def _at(self, context: Context, data: str) -> None:
        target = context.root.make_directory(self.target)
        try:
            k.mount(self.source, fd_path(target), self.type, self.options.flags, data)
        finally:
            posix.close(target)

    def _bind(self, context: Context) -> None:
        tree = trees.clone(self.source, recursive=bool(self.options.flags & k.MS_REC))
        flags = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
        try:
            if self.target:
                target = context.root.make_directory(self.target)
            else:
                target = posix.open(context.rootfs, flags)
            try:
                trees.attach_with(tree, target, *self.options.attributes())
            finally:
                posix.close(target)
        finally:
            posix.close(tree)


class BindRoot(Struct):
    """Make the root file system a mount of its own, as pivot_root demands, and private.

    Fields:
        cut_off: cut it off from the host's mount that it comes from, where the host itself
            sees all of it.
    """

    cut_off: bool = False

    @property
    def name(self) -> str:
        return "bind the root file system"

    def describe(self) -> str:
        return self.name

    def execute(self, context: Context) -> None:
        tree = trees.clone(context.rootfs, recursive=True)
        try:
            target = posix.open(context.rootfs, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
            try:
                trees.attach(tree, target)
            finally:
                posix.close(target)
            if self.cut_off:
                trees.set_propagation(tree, (k.MS_PRIVATE | k.MS_REC,))
            posix.fchdir(tree)
        finally:
            posix.close(tree)
        context.rootfs = "."
        context.open_root()


def mount_overlay(source: str, target: str, flags: int, data: str) -> None:
    """Mount an overlay whose layers are named relative to their common directory.

    A mount(2) call takes one page of options; with absolute names some 30 layers fill it.
    What does not fit even so is given layer by layer, which needs Linux 6.5.

    Raises:
        InvalidArgument: the names are too long for this kernel.
    """
    directory, short = shorten_layers(data)
    # the target may be relative to where we stand
    there = posix.open(target, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        if directory:
            posix.chdir(directory)
        if len(fsencode(short)) > _PAGE:
            _mount_by_layer(source, there, flags, short)
        else:
            k.mount(source, fd_path(there), "overlay", flags, short)
    finally:
        posix.close(there)
        if directory:
            posix.chdir("/")


def _mount_by_layer(source: str, target: int, flags: int, data: str) -> None:
    context = k.fsopen("overlay")
    try:
        k.fsconfig(context, k.FSCONFIG_SET_STRING, "source", source)
        for word in data.split(","):
            key, _, value = word.partition("=")
            if key == "lowerdir":
                for layer in value.split(":"):
                    k.fsconfig(context, k.FSCONFIG_SET_STRING, "lowerdir+", layer)
            elif value:
                k.fsconfig(context, k.FSCONFIG_SET_STRING, key, value)
            else:
                k.fsconfig(context, k.FSCONFIG_SET_FLAG, key)
        k.fsconfig(context, k.FSCONFIG_CMD_CREATE)
        attributes, _ = Options(flags=flags).attributes()
        tree = k.fsmount(context, attributes)
    except OSError as error:
        if error.errno not in (EINVAL, ENOSYS):
            raise
        raise InvalidArgument(
            f"the overlay's layers need {len(data)} bytes of options, the kernel takes {_PAGE}",
            step="mount overlay",
            errno=error.errno,
            hint="store the layers below shorter names, or merge some",
        ) from None
    finally:
        posix.close(context)
    try:
        trees.attach(tree, target)
    finally:
        posix.close(tree)


def shorten_layers(data: str) -> tuple[str, str]:
    """``(directory, options)``: the options with paths relative to their common directory.

    ``("", data)`` where there is none, or a name has a character that overlay escapes.
    """
    words = data.split(",")
    paths: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "lowerdir":
            paths.extend(value.split(":"))
        elif key in ("upperdir", "workdir"):
            paths.append(value)
    if not paths or "\\" in data or not all(path.startswith("/") for path in paths):
        return "", data
    # the common directory is above each: a layer itself would become "."
    common = _common([path.rstrip("/").split("/")[1:-1] for path in paths])
    if not common:
        return "", data
    cut = len(common) + 1
    short = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "lowerdir":
            word = "lowerdir=" + ":".join([path[cut:] for path in value.split(":")])
        elif key in ("upperdir", "workdir"):
            word = f"{key}={value[cut:]}"
        short.append(word)
    return common, ",".join(short)


def _common(parents: list[list[str]]) -> str:
    """The longest path that begins all of them; ``""`` for the top."""
    shared = ""
    for parts in zip(*parents, strict=False):
        if any(part != parts[0] for part in parts):
            break
        shared += f"/{parts[0]}"
    return shared


def enter_root(context: Context, *, pivot: bool, shared: bool = False) -> None:
    """Make the root file system ours and put the host's out of reach.

    Arguments:
        shared: the mount namespace is the host's, whose root stays where it is: a chroot has to
            do, which holds nobody who may chroot.
    """
    root = context.root.fd
    if shared:
        posix.fchdir(root)
        posix.chroot(".")
        posix.chdir("/")
        return
    if not pivot:
        _move_root(root)
        return
    old = posix.open("/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fchdir(root)
        # stacks the old root on the new one: no directory is needed for it (pivot_root(2))
        k.pivot_root(".", ".")
        posix.fchdir(old)
        # an umount must not reach the host, whatever the propagation was
        k.mount("", ".", "", k.MS_SLAVE | k.MS_REC)
        k.umount2(".", k.MNT_DETACH)
    finally:
        posix.close(old)
    posix.chdir("/")


def _move_root(root: int) -> None:
    """Without pivot_root (an initramfs can't be pivoted away): cover the old root.

    All procfs and sysfs outside are taken away before, wherever they are: for whoever breaks out
    of the chroot, and because one that is whole would allow a user namespace made inside
    another that is whole (the kernel's mount_too_revealing), without our masks.
    """
    inside = posix.readlink(f"/proc/self/fd/{root}")
    for path in reversed(_kernel_mounts_outside(inside)):
        try:
            k.umount2(path, k.MNT_DETACH)
        except OSError as error:
            if error.errno not in (EINVAL, EPERM):
                raise
            # it was ours to cover only: it belongs to whoever made our user namespace
            k.mount("tmpfs", path, "tmpfs", 0, "mode=755")
    posix.fchdir(root)
    k.mount(".", "/", "", k.MS_MOVE)
    posix.chroot(".")
    posix.chdir("/")


def _kernel_mounts_outside(inside: str) -> list[str]:
    """Mount points of procfs and sysfs that are not below ``inside``, in the order of mounting."""
    found = []
    for line in _mountinfo():
        fields = line.split(b" ")
        kind = fields[fields.index(b"-") + 1]
        point = fsdecode(_unescaped(fields[4]))
        if kind in (b"proc", b"sysfs") and not f"{point}/".startswith(f"{inside}/"):
            found.append(point)
    return found


def set_root_propagation(word: str) -> None:
    """``linux.rootfsPropagation``, once the root is ``/``."""
    if word:
        k.mount("", "/", "", PROPAGATION[word])


def mounts_at(path: str) -> int:
    """How many mounts lie on this directory, one over the other."""
    wanted = fsencode(path)
    return [_unescaped(line.split(b" ")[4]) for line in _mountinfo()].count(wanted)


def _mountinfo() -> list[bytes]:
    fd = posix.open("/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    text = b""
    try:
        while piece := posix.read(fd, 1 << 16):
            text += piece
    finally:
        posix.close(fd)
    return text.splitlines()


def unmount_root(path: str, before: int) -> None:
    """Take away the root file system of a container that shared our mount namespace, with all
    that was mounted in it.

    Arguments:
        before: :func:`mounts_at` before there was a container.
    """
    while mounts_at(path) > before:
        k.umount2(path, k.MNT_DETACH | k.UMOUNT_NOFOLLOW)


def _unescaped(word: bytes) -> bytes:
    """A path of mountinfo: blanks and backslashes stand as octal numbers."""
    if b"\\" not in word:
        return word
    first, *others = word.split(b"\\")
    return first + b"".join([bytes([int(part[:3], 8)]) + part[3:] for part in others])
