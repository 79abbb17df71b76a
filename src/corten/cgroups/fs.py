"""Reading, writing and removing below a cgroup file system, with errors that say what and where."""

from __future__ import annotations

import posix
import time
from errno import EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOSPC, ENOTEMPTY, EPERM, ERANGE

from corten.errors import (
    CortenError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    exhausted,
)
from corten.kernel import paths

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02
_READ = 65536


def failed(error: OSError, path: str, value: str = "") -> CortenError:
    """Our error for the kernel's answer about a cgroup file."""
    what = f"kernel refused {value!r}" if value else "kernel refused"
    text = f"{what}: {posix.strerror(error.errno or 0)}"
    code = error.errno or 0
    if code in (EPERM, EACCES):
        return PermissionDenied(text, step="cgroup", path=path, errno=code)
    if code in (EINVAL, ERANGE, ENODEV):
        return InvalidArgument(text, step="cgroup", path=path, errno=code)
    if code == ENOSPC:
        hint = "too many groups: see cgroup.max.descendants and /proc/cgroups"
        return ResourceExhausted(text, step="cgroup", path=path, errno=code, hint=hint)
    used_up = exhausted(error, step="cgroup", path=path)
    if used_up is not None:
        return used_up
    if code == ENOENT:
        return FailedPrecondition(
            f"cgroup has no file {paths.name(path)}"
            + (f", so {value!r} can't be set" if value else ""),
            step="cgroup",
            path=path,
            errno=code,
            hint="the kernel lacks the feature, or its controller is not enabled in the parent",
        )
    if code == EBUSY:
        return FailedPrecondition(text, step="cgroup", path=path, errno=code)
    return Internal(text, step="cgroup", path=path, errno=code)


def write_raw(path: str, value: str) -> None:
    """Write ``value`` in one call; raises OSError."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, value.encode())
    finally:
        posix.close(fd)


def write(path: str, value: str) -> None:
    """Write ``value``; raises our errors, which name both."""
    try:
        write_raw(path, value)
    except OSError as error:
        raise failed(error, path, value) from None


def read(path: str) -> str:
    """The file's content without the last line end; raises OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = piece = posix.read(fd, _READ)
        while len(piece) == _READ:
            piece = posix.read(fd, _READ)
            text += piece
    finally:
        posix.close(fd)
    return text.decode("ascii", "surrogateescape").rstrip("\n")


def read_or(path: str, default: str = "") -> str:
    """Like :func:`read`, or ``default`` where file or group are absent."""
    try:
        return read(path)
    except OSError:
        return default


def read_int(path: str, default: int = 0) -> int:
    """A number, ``max`` as -1, or ``default`` where it is absent."""
    text = read_or(path)
    if text == "max":
        return -1
    try:
        return int(text)
    except ValueError:
        return default


def read_table(path: str) -> dict[str, int]:
    """``key number`` lines (``memory.stat``, ``cpu.stat``); empty where it is absent."""
    table: dict[str, int] = {}
    for line in read_or(path).split("\n"):
        key, _, value = line.partition(" ")
        if value.isdigit():
            table[key] = int(value)
    return table


def below(directory: str) -> list[str]:
    """Groups below ``directory``, deepest first."""
    try:
        with posix.scandir(directory) as entries:
            names = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    found: list[str] = []
    for name in names:
        found.extend(below(name))
        found.append(name)
    return found


def pids_in(directory: str) -> list[int]:
    """Processes in a group and below; none where it is absent."""
    found: list[int] = []
    for group in [directory, *below(directory)]:
        found.extend(int(pid) for pid in read_or(f"{group}/cgroup.procs").split())
    return sorted(set(found))


def make(directory: str, top: str) -> list[str]:
    """Make a group and its missing parents below ``top``; returns what was made, in order.

    On failure nothing that this call made is left.
    """
    try:
        posix.mkdir(directory)
        return [directory]
    except FileExistsError:
        return []
    except FileNotFoundError:
        pass
    except OSError as error:
        raise failed(error, directory) from None
    made: list[str] = []
    path = top
    try:
        for part in directory[len(top) :].strip("/").split("/"):
            path = f"{path}/{part}"
            try:
                posix.mkdir(path)
                made.append(path)
            except OSError as error:
                if error.errno != EEXIST:
                    raise
    except OSError as error:
        unmake(made)
        raise failed(error, path) from None
    return made


def unmake(made: list[str]) -> None:
    """Undo :func:`make`; groups that others use by now stay."""
    for path in reversed(made):
        try:
            posix.rmdir(path)
        except OSError:
            continue


def _remove_once(directory: str) -> bool:
    """One attempt; True if the group is gone."""
    try:
        posix.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (EBUSY, ENOTEMPTY):
            raise failed(error, directory) from None
        children = below(directory)
        for group in children:
            try:
                posix.rmdir(group)
            except OSError:
                return False
        return bool(children) and _remove_once(directory)
    return True


def remove(directories: list[str], timeout: float) -> None:
    """Remove groups with everything below them, trying until ``timeout`` seconds passed.

    The kernel keeps a group busy for a moment after its last process was reaped.
    """
    left = [path for path in directories if not _remove_once(path)]
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while left:
        if time.monotonic() > end:
            raise FailedPrecondition(
                f"cgroup is still in use after {timeout:g} s, by processes {pids_in(left[0])[:8]}",
                step="delete cgroup",
                path=left[0],
                errno=EBUSY,
            )
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
        left = [path for path in left if not _remove_once(path)]
