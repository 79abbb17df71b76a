"""The root file system: its own mounts, propagation, and the change into it."""

from __future__ import annotations

import os
from errno import EINVAL

from corten.errors import InvalidArgument
from corten.kernel import mounts as k
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
            os.close(target)

    def _bind(self, context: Context) -> None:
        tree = trees.clone(self.source, recursive=bool(self.options.flags & k.MS_REC))
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            if self.target:
                target = context.root.make_directory(self.target)
            else:
                target = os.open(context.rootfs, flags)
            try:
                trees.attach_with(tree, target, *self.options.attributes())
            finally:
                os.close(target)
        finally:
            os.close(tree)


class BindRoot(Struct):
    """Make the root file system a mount of its own, as pivot_root demands, and private."""

    @property
    def name(self) -> str:
        return "bind the root file system"

    def describe(self) -> str:
        return self.name

    def execute(self, context: Context) -> None:
        tree = trees.clone(context.rootfs, recursive=True)
        try:
            target = os.open(context.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                trees.attach(tree, target)
            finally:
                os.close(target)
            os.fchdir(tree)
        finally:
            os.close(tree)
        context.rootfs = "."
        context.open_root()


def mount_overlay(source: str, target: str, flags: int, data: str) -> None:
    """Mount an overlay whose layers are named relative to their common directory.

    A mount(2) call takes one page of options; with absolute names some 30 layers fill it.

    Raises:
        InvalidArgument: the names are too long even so.
    """
    directory, short = shorten_layers(data)
    if len(os.fsencode(short)) > _PAGE:
        raise InvalidArgument(
            f"the overlay's layers need {len(os.fsencode(short))} bytes of options, "
            f"the kernel takes {_PAGE}",
            step="mount overlay",
            errno=EINVAL,
            hint="store the layers below shorter names, or merge some",
        )
    if not directory:
        k.mount(source, target, "overlay", flags, short)
        return
    # the target is relative where we stand in it already
    there = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        k.mount(source, fd_path(there), "overlay", flags, short)
    finally:
        os.close(there)
        os.chdir("/")


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
    common = os.path.commonpath([path.rstrip("/").rpartition("/")[0] or "/" for path in paths])
    if common == "/":
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


def enter_root(context: Context, *, pivot: bool) -> None:
    """Make the root file system ours and put the host's out of reach."""
    root = context.root.fd
    if not pivot:
        _move_root(root)
        return
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(root)
        # stacks the old root on the new one: no directory is needed for it (pivot_root(2))
        k.pivot_root(".", ".")
        os.fchdir(old)
        # an umount must not reach the host, whatever the propagation was
        k.mount("", ".", "", k.MS_SLAVE | k.MS_REC)
        k.umount2(".", k.MNT_DETACH)
    finally:
        os.close(old)
    os.chdir("/")


def _move_root(root: int) -> None:
    """Without pivot_root (an initramfs can't be pivoted away): cover the old root.

    The host's procfs and sysfs are taken away before, for whoever breaks out of the chroot.
    """
    for path in ("/proc", "/sys"):
        try:
            k.umount2(path, k.MNT_DETACH)
        except OSError as error:
            if error.errno != EINVAL:  # not mounted
                raise
    os.fchdir(root)
    k.mount(".", "/", "", k.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def set_root_propagation(word: str) -> None:
    """``linux.rootfsPropagation``, once the root is ``/``."""
    if word:
        k.mount("", "/", "", PROPAGATION[word])
