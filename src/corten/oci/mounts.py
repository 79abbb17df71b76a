"""The mounts of a configuration as steps of the plan.

Targets are resolved and made inside the root file system (``paths``) and mounted by
descriptor, so a link that is swapped meanwhile leads nowhere (CVE-2021-30465). A file system
is mounted with mount(2) on ``/proc/self/fd/N``, the procfs being the host's; a bind is a
detached tree that has its attributes before anybody sees it.
"""

from __future__ import annotations

import posix
from _stat import S_IMODE, S_ISDIR
from errno import ELOOP, ENOTDIR

from corten.errors import InvalidArgument
from corten.kernel import mounts as k
from corten.oci import trees
from corten.oci.mountoptions import Options, attributes_of
from corten.oci.paths import Root, fd_path
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context
    from corten.oci.idmap import IdMap

# Only over these may a file system that shows the kernel be mounted, and over no link.
_KERNEL_TYPES = ("proc", "sysfs")


class BindMount(Struct):
    """Show a file or directory of the host.

    Fields:
        subpath: what lies there inside of ``source`` is shown. That can't lead out: the one who
            owns a volume's files may put links in the way.
        idmap: with other owners (``idmap``, ``ridmap``, mappings of the mount's own).
    """

    destination: str
    source: str
    subpath: str = ""
    options: Options
    idmap: IdMap | None = None

    @property
    def name(self) -> str:
        return _mounting(self.source, self.destination)

    def describe(self) -> str:
        return f"bind {self.source} at {self.destination} {_words(self.options)}"

    def capture(self, context: Context) -> None:
        """Take the source now: later we may lack the rights, or its propagation be cut."""
        context.captured[self.destination] = self._take()

    def execute(self, context: Context) -> None:
        tree = context.captured.pop(self.destination, -1)
        if tree < 0:
            tree = self._take()
        try:
            self._attach(context, tree)
        finally:
            posix.close(tree)

    def _take(self) -> int:
        tree = self._clone(bool(self.options.flags & k.MS_REC))
        if self.idmap is not None:
            try:
                self.idmap.apply(tree)
            except BaseException:
                posix.close(tree)
                raise
        return tree

    def _clone(self, recursive: bool) -> int:
        if not self.subpath:
            return trees.clone(self.source, recursive=recursive)
        top = posix.open(self.source, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            inside = Root(top).open(self.subpath)
        finally:
            posix.close(top)
        try:
            return trees.clone("", dirfd=inside, recursive=recursive)
        finally:
            posix.close(inside)

    def _attach(self, context: Context, tree: int) -> None:
        options = self.options
        if S_ISDIR(posix.fstat(tree).st_mode):
            target = context.root.make_directory(self.destination)
        else:
            target = context.root.make_file(self.destination)
        try:
            self._attach_at(tree, target, locked=context.in_user_namespace)
            if options.recursive_set or options.recursive_clear:
                trees.set_recursively(tree, options.recursive_set, options.recursive_clear)
            trees.set_propagation(tree, options.propagation)
        except OSError as error:
            if error.errno != ENOTDIR:
                raise
            raise InvalidArgument(
                "a file can't be mounted on a directory, nor a directory on a file",
                step=self.name,
                path=self.destination,
                errno=ENOTDIR,
            ) from None
        finally:
            posix.close(target)

    def _attach_at(self, tree: int, target: int, *, locked: bool) -> None:
        """Attach, with the attributes that are wanted.

        Arguments:
            locked: we are in another user namespace than the source, which was taken with the
                host's rights: we lock what the kernel would have locked.
        """
        options = self.options
        if not locked:
            try:
                trees.attach_with(tree, target, *options.bind_attributes())
                return
            except PermissionError:
                pass  # the source's flags are locked, since we are in a user namespace ourselves
        have = attributes_of(posix.statvfs(tree).f_flag)
        trees.attach_with(tree, target, *options.locked_attributes(have))


class FilesystemMount(Struct):
    """Mount a file system of its own: proc, sysfs, tmpfs, devpts, mqueue, …"""

    destination: str
    type: str
    source: str
    options: Options

    @property
    def name(self) -> str:
        return _mounting(self.source or self.type, self.destination)

    def describe(self) -> str:
        return f"mount {self.type} at {self.destination} {_words(self.options)}"

    def delayed_read_only(self) -> bool:
        """Whether it turns read-only after everything inside was made: later mounts have
        their targets on it."""
        return bool(self.options.flags & k.MS_RDONLY) and (
            self.type == "tmpfs" or self.destination == "/dev"
        )

    def execute(self, context: Context) -> None:
        copied = "tmpcopyup" in self.options.special and self._there(context)
        target, data = self._target(context)
        try:
            flags = self.options.flags
            if self.delayed_read_only():
                flags &= ~k.MS_RDONLY
            k.mount(self.source or self.type, fd_path(target), self.type, flags, data)
            if copied:
                self._copy_up(context, target)
        finally:
            posix.close(target)
        self._after(context)

    def _there(self, context: Context) -> bool:
        """Whether the image has something there; else there is nothing to copy, and the file
        system keeps the owner and the mode that its options give it."""
        try:
            posix.close(context.root.open(self.destination))
        except FileNotFoundError:
            return False
        return True

    def _target(self, context: Context) -> tuple[int, str]:
        """The target's descriptor, and the file system's options."""
        data = self.options.data
        if self.type in _KERNEL_TYPES:
            return self._plain_directory(context), data
        keeps = self.type == "tmpfs" and "mode=" not in data and self._is_there(context)
        target = context.root.make_directory(self.destination)
        if keeps:
            # what runc does: a tmpfs keeps the mode of what it hides
            mode = S_IMODE(posix.fstat(target).st_mode)
            data = f"{data},mode={mode:o}" if data else f"mode={mode:o}"
        return target, data

    def _is_there(self, context: Context) -> bool:
        try:
            posix.close(context.root.open(self.destination))
        except FileNotFoundError:
            return False
        return True

    def _plain_directory(self, context: Context) -> int:
        """A link as ``/proc`` or ``/sys`` would move what is masked away (CVE-2019-19921,
        CVE-2023-27561)."""
        flags = posix.O_PATH | posix.O_DIRECTORY
        try:
            return context.root.open(self.destination, flags, links=False)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != ELOOP:
                raise
            raise InvalidArgument(
                f'filesystem "{self.type}" must be mounted on ordinary directory',
                step=self.name,
                path=self.destination,
                errno=ELOOP,
            ) from None
        posix.close(context.root.make_directory(self.destination))
        return context.root.open(self.destination, flags, links=False)

    def _copy_up(self, context: Context, below: int) -> None:
        """Fill the new tmpfs with what its directory held (``tmpcopyup``)."""
        # in memory already: whoever executes such a step has imported it
        from corten.oci.copyup import copy_tree

        source = posix.open(fd_path(below), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            fresh = context.root.open(self.destination, posix.O_RDONLY | posix.O_DIRECTORY)
            try:
                copy_tree(source, fresh)
            finally:
                posix.close(fresh)
        finally:
            posix.close(source)

    def _after(self, context: Context) -> None:
        options = self.options
        if not (options.propagation or options.recursive_set or options.recursive_clear):
            return
        tree = context.root.open(self.destination)
        try:
            if options.recursive_set or options.recursive_clear:
                trees.set_recursively(tree, options.recursive_set, options.recursive_clear)
            trees.set_propagation(tree, options.propagation)
        finally:
            posix.close(tree)


class Remount(Struct):
    """Change what is mounted (option ``remount``), or set its propagation alone."""

    destination: str
    options: Options

    @property
    def name(self) -> str:
        return f"remount {self.destination}"

    def describe(self) -> str:
        return f"{self.name} {_words(self.options)}"

    def execute(self, context: Context) -> None:
        tree = context.root.open(self.destination)
        try:
            if self.options.flags & k.MS_REMOUNT:
                k.mount("", fd_path(tree), "", self.options.flags, self.options.data)
            trees.set_propagation(tree, self.options.propagation)
        finally:
            posix.close(tree)


class ReadOnly(Struct):
    """Make a mount read-only when everything inside is done."""

    destination: str

    @property
    def name(self) -> str:
        return f"make {self.destination} read-only"

    def describe(self) -> str:
        return self.name

    def execute(self, context: Context) -> None:
        tree = context.root.open(self.destination)
        try:
            trees.make_read_only(tree)
        finally:
            posix.close(tree)


def _mounting(source: str, destination: str) -> str:
    """The step, in the words that people know from runc."""
    return f'mounting "{source}" to rootfs at "{destination}"'


def _words(options: Options) -> str:
    parts = [f"flags={options.flags:#x}"]
    if options.propagation:
        parts.append("propagation=" + "|".join([f"{flag:#x}" for flag in options.propagation]))
    if options.recursive_set or options.recursive_clear:
        parts.append(f"recursive=+{options.recursive_set:#x}-{options.recursive_clear:#x}")
    if options.special:
        parts.append(",".join(options.special))
    if options.data:
        parts.append(f"data={options.data}")
    return " ".join(parts)
