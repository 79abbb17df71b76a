"""Containers on disk: ``ROOT/ID/{state.json,lock,start.sock}``.

The directory is the claim on the id: made by one, found by all others. ``state.json`` is
written by rename before anything that would have to be undone, so whatever is killed when,
``delete --force`` knows what there is. The status is derived, never stored: from the process,
the start socket and the freezer.
"""

from __future__ import annotations

import fcntl
import posix
from errno import EEXIST, ENOENT, ENOTEMPTY

from corten.cgroups import open_cgroup
from corten.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from corten.kernel.paths import exists, fsencode, make_directories
from corten.kernel.process import pidfd_open, start_time
from corten.oci.failure import failed
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_MAX_ID = 1024
VERSION = 1


class Record:
    """One container's directory, and its lock while the object has it.

    Attributes:
        data: the content of ``state.json``; :meth:`save` writes it.
    """

    __slots__ = ("_lock", "data", "id", "path")

    def __init__(self, root: str, container_id: str) -> None:
        self.id = container_id
        self.path = f"{root}/{container_id}"
        self.data: dict[str, Any] = {}
        self._lock = -1

    # --- making, finding, removing ------------------------------------------------------

    @classmethod
    def claim(cls, root: str, container_id: str) -> Record:
        """Take an id for a new container, locked.

        Raises:
            AlreadyExists: somebody has it.
        """
        check_id(container_id)
        record = cls(root, container_id)
        try:
            make_directories(root, 0o711)
            posix.mkdir(record.path, 0o711)
        except FileExistsError:
            raise AlreadyExists("container with given ID already exists") from None
        except OSError as error:
            raise failed("make state directory", error, path=record.path) from None
        record._take_lock()
        return record

    @classmethod
    def find(cls, root: str, container_id: str, *, lock: bool = False) -> Record:
        """The record of an existing container.

        Raises:
            NotFound: there is none, or it went while we waited for its lock.
        """
        check_id(container_id)
        record = cls(root, container_id)
        if not exists(record.path):
            raise _absent()
        if lock:
            record._take_lock()
            if not exists(record.path):
                record.close()
                raise _absent()
        record._load()
        return record

    def _take_lock(self) -> None:
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC
        try:
            self._lock = posix.open(f"{self.path}/lock", flags, 0o600)
        except FileNotFoundError:
            raise _absent() from None
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _load(self) -> None:
        try:
            self.data = read_json(f"{self.path}/state.json", "state of the container")
        except NotFound:
            self.data = {}  # killed between the claim and the first save

    def save(self) -> None:
        """Replace ``state.json``."""
        write_file(f"{self.path}/state.json", jsonlite.dumpb(self.data))

    def remove(self) -> None:
        """Remove the directory; the id is free again."""
        for name in posix.listdir(self.path):
            try:
                posix.unlink(f"{self.path}/{name}")
            except FileNotFoundError:
                continue
        try:
            posix.rmdir(self.path)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTEMPTY, EEXIST):
                raise
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        if self._lock >= 0:
            posix.close(self._lock)
            self._lock = -1

    # --- what it says --------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return int(self.data.get("pid") or 0)

    @property
    def start_socket(self) -> str:
        return f"{self.path}/start.sock"

    def cgroup(self) -> Cgroup | None:
        """Its cgroup, also where that is gone."""
        path = self.data.get("cgroup_path")
        return open_cgroup(path, kind=self.data["cgroup_kind"]) if path else None

    def pidfd(self) -> int:
        """A descriptor of init; -1 if it has ended (its number may be somebody else's)."""
        if not self.pid:
            return -1
        try:
            fd = pidfd_open(self.pid)
        except OSError:
            return -1
        if self._is_init():
            return fd
        posix.close(fd)
        return -1

    def _is_init(self) -> bool:
        try:
            return start_time(self.pid) == self.data.get("start_time") and not zombie(self.pid)
        except OSError:
            return False

    def status(self) -> str:
        """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
        if not self.data or not self.pid:
            return "creating" if self._lock < 0 and self._busy() else "stopped"
        if not self._is_init():
            return "stopped"
        if exists(self.start_socket):
            return "created"
        cgroup = self.cgroup()
        return "paused" if cgroup is not None and cgroup.frozen() else "running"

    def _busy(self) -> bool:
        """Whether somebody holds the lock: its creator is at work."""
        try:
            fd = posix.open(f"{self.path}/lock", posix.O_RDWR | posix.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            posix.close(fd)
        return False

    def alive(self, what: str) -> int:
        """Init's pidfd.

        Raises:
            FailedPrecondition: it has ended; ``what`` was to be done.
        """
        fd = self.pidfd()
        if fd < 0:
            raise FailedPrecondition(f"container not running: can't {what}", path=self.id)
        return fd


def check_id(container_id: str) -> None:
    """Raises InvalidArgument for what is no id: it becomes a directory and a cgroup."""
    if not container_id:
        raise InvalidArgument("container id cannot be empty")
    if (
        not _ALLOWED.issuperset(container_id)
        or container_id in (".", "..")
        or len(container_id) > _MAX_ID
    ):
        raise InvalidArgument(
            f"invalid container ID format: {container_id!r} has an invalid character, "
            "or is no container ID"
        )


def _absent() -> NotFound:
    return NotFound("container does not exist")


def zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be reaped."""
    fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = posix.read(fd, 4096)
    finally:
        posix.close(fd)
    return text[text.rindex(b")") + 2 :][:1] in b"ZX"


def read_json(path: str, what: str) -> Any:
    """A JSON document from a file.

    Raises:
        NotFound: there is no such file; InvalidArgument: it is no JSON.
    """
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{what} not found", path=path) from None
    except OSError as error:
        raise failed(f"read {what}", error, path=path) from None
    try:
        pieces = []
        while piece := posix.read(fd, 1 << 18):
            pieces.append(piece)
    except OSError as error:
        raise failed(f"read {what}", error, path=path) from None
    finally:
        posix.close(fd)
    return jsonlite.loads(b"".join(pieces), what=what)


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is seen whole or not at all."""
    head, _, name = path.rpartition("/")
    temporary = f"{head}/.{name}.{posix.getpid()}" if head else f".{name}.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC
    try:
        fd = posix.open(temporary, flags, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[posix.write(fd, view) :]
        finally:
            posix.close(fd)
        posix.replace(fsencode(temporary), fsencode(path))
    except OSError as error:
        raise failed("write file", error, path=path) from None


def all_ids(root: str) -> list[str]:
    """The ids below a root; none where it does not exist."""
    try:
        names = posix.listdir(root)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("list containers", error, path=root) from None
    return sorted([name for name in names if not name.startswith(".")])
