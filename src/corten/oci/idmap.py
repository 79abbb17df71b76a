"""Id-mapped mounts: a bind mount whose files show other owners than they have on disk.

Loaded by the plan that has one (and by the launcher beforehand). The mapping is that of a user
namespace which exists for this alone: a child is born into it, its maps are written, the
namespace is opened, and the child ends.
"""

from __future__ import annotations

import posix
from errno import EINVAL, ENOSYS, EPERM

from corten.errors import InvalidArgument, Unimplemented
from corten.kernel import mounts as k
from corten.kernel.files import write_proc
from corten.kernel.namespaces import CLONE_NEWUSER
from corten.kernel.process import clone3, wait_pidfd
from corten.oci.failure import failed
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.spec.records import ConfigMount, IdMapping, Linux


class IdMap(Struct):
    """The mapping of one mount.

    Fields:
        uids, gids: container's to host's ids, as ``linux.uidMappings`` has them.
        path: a user namespace whose mapping is taken instead.
        recursive: of everything below, too (``ridmap``).
    """

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]
    path: str = ""
    recursive: bool = False

    def apply(self, tree: int) -> None:
        """Map a detached tree; with the host's rights."""
        user = self._namespace()
        flags = k.AT_EMPTY_PATH | (k.AT_RECURSIVE if self.recursive else 0)
        try:
            k.mount_setattr(tree, "", flags, attr_set=k.MOUNT_ATTR_IDMAP, userns_fd=user)
        except OSError as error:
            if error.errno == ENOSYS:
                raise Unimplemented(
                    "id-mapped mounts need Linux 5.12", step="map ids of a mount", errno=ENOSYS
                ) from None
            hint = ""
            if error.errno in (EINVAL, EPERM):
                hint = "the file system can't be mapped, or is mapped already"
            raise failed("map ids of a mount", error, hint=hint) from None
        finally:
            posix.close(user)

    def _namespace(self) -> int:
        if self.path:
            return posix.open(self.path, posix.O_RDONLY | posix.O_CLOEXEC)
        return user_namespace(self.uids, self.gids)


def compile_idmap(mount: ConfigMount, special: tuple[str, ...], linux: Linux) -> IdMap:
    """The mapping that a mount asks for: its own, or that of the container's user namespace.

    Raises:
        InvalidArgument: there is neither.
    """
    recursive = "ridmap" in special
    if mount.uid_mappings:
        return IdMap(uids=mount.uid_mappings, gids=mount.gid_mappings, recursive=recursive)
    user = linux.namespace("user")
    if user is None:
        raise InvalidArgument(
            "an id-mapped mount needs uidMappings and gidMappings, "
            "or a user namespace of the container",
            path=f"mounts[{mount.destination}]",
        )
    return IdMap(
        uids=linux.uid_mappings, gids=linux.gid_mappings, path=user.path, recursive=recursive
    )


def user_namespace(uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...]) -> int:
    """A descriptor of a new user namespace with these maps.

    It works in a PID namespace of which no procfs is mounted, too: the child reads its number
    where the procfs that we see has it.
    """
    said, says = posix.pipe2(posix.O_CLOEXEC)
    held, holds = posix.pipe2(posix.O_CLOEXEC)
    pid, pidfd = clone3(CLONE_NEWUSER)
    if pid == 0:
        try:
            posix.close(holds)
            posix.write(says, posix.readlink(b"/proc/self"))
            posix.read(held, 1)
        finally:
            posix._exit(0)
    try:
        posix.close(says)
        number = posix.read(said, 32).decode()
        write_proc(f"/proc/{number}/uid_map", map_text(uids))
        write_proc(f"/proc/{number}/gid_map", map_text(gids))
        return posix.open(f"/proc/{number}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise failed("make a user namespace for a mapping", error) from None
    finally:
        for fd in (said, held, holds):
            posix.close(fd)
        wait_pidfd(pidfd)
        posix.close(pidfd)


def map_text(mappings: tuple[IdMapping, ...]) -> bytes:
    """As ``/proc/PID/uid_map`` takes it (user_namespaces(7))."""
    lines = [f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings]
    return "".join(lines).encode()
