"""``state``, ``list``, ``kill``, ``delete``, ``ps``, ``pause`` and ``resume``."""

from __future__ import annotations

import posix

from corten.errors import CortenError, FailedPrecondition, InvalidArgument, NotFound
from corten.kernel.paths import exists, fsencode
from corten.kernel.process import pidfd_send_signal
from corten.oci.cli_common import destroy, one_id, plan_of
from corten.oci.cliargs import SWITCH, VALUE, parse
from corten.oci.records import Record, all_ids
from corten.oci.signals import number_of
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings
    from corten.oci.planned import Plan

STATE = PAUSE = RESUME = {"help": SWITCH}
LIST = {"format": VALUE, "quiet": SWITCH, "help": SWITCH}
KILL = {"all": SWITCH, "help": SWITCH}
DELETE = {"force": SWITCH, "regex": VALUE, "help": SWITCH}
PS = {"format": VALUE, "help": SWITCH}
_SIGKILL = 9
# Seconds that a killed init gets to end: it may have to leave a file system that hangs.
_KILL_TIMEOUT = 10
_FROZEN_AFTER = 0.5  # from then on it is looked for in a frozen group that is not ours
_SHORT = {"h": "help", "f": "format", "q": "quiet", "a": "all"}


def state(settings: Settings, argv: list[str]) -> int:
    """Print the state (runtime.md, "State") with runc's additions."""
    args = parse(argv, STATE, short=_SHORT)
    record = Record.find(settings.root, one_id(args, "state"))
    _print(jsonlite.pretty(_view(record)) + "\n")
    return 0


def _view(record: Record) -> dict[str, Any]:
    status = record.status()
    data = record.data
    view = {
        "ociVersion": data.get("ociVersion", ""),
        "id": record.id,
        "pid": 0 if status == "stopped" else record.pid,
        "status": status,
        "bundle": data.get("bundle", ""),
        "rootfs": data.get("rootfs", ""),
        "created": data.get("created", ""),
    }
    annotations = (data.get("config") or {}).get("annotations")
    if annotations:
        view["annotations"] = annotations
    return {**view, "owner": _owner(data.get("owner", 0))}


def _owner(uid: int) -> str:
    return "root" if uid == 0 else f"#{uid}"


def list_(settings: Settings, argv: list[str]) -> int:
    """Print all containers below the root."""
    args = parse(argv, LIST, short=_SHORT)
    form = args.text("format", "table")
    if form not in ("table", "json"):
        raise InvalidArgument("invalid format option")
    if settings.root_given and not exists(settings.root):
        raise NotFound("no such directory", step="list containers", path=settings.root)
    ids = all_ids(settings.root)
    if args.switch("quiet"):
        _print("".join([f"{name}\n" for name in ids]))
        return 0
    views = []
    for name in ids:
        try:
            views.append(_view(Record.find(settings.root, name)))
        except NotFound:
            continue  # deleted meanwhile
    if form == "json":
        _print(jsonlite.dumps(views) + "\n")
        return 0
    columns = ("id", "pid", "status", "bundle", "created", "owner")
    _print_table([[c.upper() for c in columns], *[[str(v[c]) for c in columns] for v in views]])
    return 0


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(12, *[len(row[i]) + 3 for row in rows]) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        _print("".join(cells) + row[-1] + "\n")


def kill(settings: Settings, argv: list[str]) -> int:
    """Send a signal to init, or with ``--all`` to everything in the container."""
    args = parse(argv, KILL, short=_SHORT)
    if not 1 <= len(args.words) <= 2:
        raise InvalidArgument('"kill" requires a container id and at most a signal')
    number = number_of(args.words[1] if len(args.words) > 1 else "TERM")
    record = Record.find(settings.root, args.words[0])
    cgroup = record.cgroup()
    if args.switch("all"):
        if cgroup is not None:
            cgroup.kill(number)
        return 0
    shared = _shares_pid_namespace(record)
    pidfd = record.pidfd()
    if pidfd < 0 and number == _SIGKILL and shared and cgroup is not None and cgroup.pids():
        cgroup.kill(number)  # init has gone, the rest has not
        return 0
    if pidfd < 0:
        pidfd = record.alive(f"send signal {number}")
    _signal(pidfd, number)
    if number == _SIGKILL and shared and cgroup is not None:
        cgroup.kill(number)  # nothing else ends with such an init
    return 0


def _signal(pidfd: int, number: int) -> None:
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise FailedPrecondition("container not running") from None
    finally:
        posix.close(pidfd)


def _shares_pid_namespace(record: Record) -> bool:
    entries = (record.data["config"].get("linux") or {}).get("namespaces") or ()
    return not any([entry.get("type") == "pid" and not entry.get("path") for entry in entries])


def delete(settings: Settings, argv: list[str]) -> int:
    """Remove a container that has stopped (or never ran); ``--force`` kills it before."""
    args = parse(argv, DELETE, short={"f": "force", "r": "regex", "h": "help"})
    if args.text("regex"):
        for name in _matching(settings.root, args.text("regex")):
            _delete(settings, name, force=True)
        return 0
    _delete(settings, one_id(args, "delete"), force=args.switch("force"))
    return 0


def _matching(root: str, pattern: str) -> list[str]:
    import re  # costs milliseconds, which nobody else is to pay

    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InvalidArgument(f"invalid regular expression {pattern!r}: {error}") from None
    return [name for name in all_ids(root) if wanted.search(name)]


def _delete(settings: Settings, name: str, *, force: bool) -> None:
    try:
        record = Record.find(settings.root, name, lock=True)
    except NotFound:
        if force:
            return
        raise
    try:
        status = record.status()
        if status not in ("stopped", "created") and not force:
            raise FailedPrecondition(
                f"cannot delete container {record.id} that is not stopped: {status}"
            )
        _end(record)
        destroy(record, _cgroup_or_none(record), _plan_or_none(settings, record), settings)
    finally:
        record.close()


def _end(record: Record) -> None:
    """Kill init and wait until it is gone."""
    pidfd = record.pidfd()
    if pidfd < 0:
        return
    try:
        pidfd_send_signal(pidfd, _SIGKILL)
        cgroup = record.cgroup()
        if cgroup is not None:
            cgroup.kill(_SIGKILL)  # reaches it frozen, too
        import select

        if not select.select([pidfd], [], [], _FROZEN_AFTER)[0]:
            from corten.cgroups.v1 import thaw_process

            thaw_process(record.pid)
        if not select.select([pidfd], [], [], _KILL_TIMEOUT)[0]:
            raise FailedPrecondition(
                f"init {record.pid} did not end within {_KILL_TIMEOUT} s after SIGKILL",
                hint="look at /proc/PID/stack: it may wait for a device or a network file system",
            )
    except ProcessLookupError:
        pass  # it has just ended
    finally:
        posix.close(pidfd)


def _cgroup_or_none(record: Record) -> Cgroup | None:
    return record.cgroup() if record.data else None


def _plan_or_none(settings: Settings, record: Record) -> Plan | None:
    """For the poststop hooks, which a container that never became one does not run."""
    config = record.data.get("config") or {}
    if not record.pid or not (config.get("hooks") or {}).get("poststop"):
        return None
    try:
        return plan_of(settings, record)
    except CortenError:
        return None


def pause(settings: Settings, argv: list[str]) -> int:
    """Freeze all processes."""
    record, status = _freezable(settings, argv, "pause")
    if status not in ("running", "created"):
        raise FailedPrecondition(f"container not running or created: {status}")
    _group(record).freeze()
    return 0


def resume(settings: Settings, argv: list[str]) -> int:
    """Let frozen processes go on."""
    record, status = _freezable(settings, argv, "resume")
    if status != "paused":
        raise FailedPrecondition("container not paused")
    _group(record).thaw()
    return 0


def _freezable(settings: Settings, argv: list[str], command: str) -> tuple[Record, str]:
    args = parse(argv, PAUSE, short=_SHORT)
    record = Record.find(settings.root, one_id(args, command))
    return record, record.status()


def _group(record: Record) -> Cgroup:
    cgroup = record.cgroup()
    if cgroup is None:
        raise FailedPrecondition("container has no cgroup")
    return cgroup


def ps(settings: Settings, argv: list[str]) -> int:
    """Print the container's processes: by ps(1), or as a list of numbers."""
    args = parse(argv, PS, short=_SHORT, until_word=True)
    if not args.words:
        raise InvalidArgument('"ps" requires a container id')
    form = args.text("format", "table")
    pids = _group(Record.find(settings.root, args.words[0])).pids()
    if form == "json":
        _print(jsonlite.dumps(pids) + "\n")
        return 0
    if form != "table":
        raise InvalidArgument("invalid format option")
    wanted = {str(pid) for pid in pids}
    lines = _output(["ps", *(args.words[1:] or ["-ef"])]).splitlines()
    if not lines:
        return 0
    column = lines[0].split().index("PID")
    kept = [line for line in lines[1:] if line.split()[column : column + 1][0] in wanted]
    _print("\n".join([lines[0], *kept]) + "\n")
    return 0


def _output(argv: list[str]) -> str:
    """What a program prints.

    Raises:
        FailedPrecondition: it could not be run, or failed.
    """
    read, write = posix.pipe2(posix.O_CLOEXEC)
    actions = [(posix.POSIX_SPAWN_DUP2, write, 1)]
    try:
        pid = posix.posix_spawn(f"/usr/bin/{argv[0]}", argv, posix.environ, file_actions=actions)
    except OSError as error:
        raise FailedPrecondition(f"{argv[0]}: {error.strerror}") from None
    finally:
        posix.close(write)
    pieces = []
    while piece := posix.read(read, 65536):
        pieces.append(piece)
    posix.close(read)
    _, status = posix.waitpid(pid, 0)
    if status:
        code = posix.waitstatus_to_exitcode(status)
        raise FailedPrecondition(f"{' '.join(argv)} failed with {code}")
    return b"".join(pieces).decode("utf-8", "replace")


def _print(text: str) -> None:
    view = memoryview(fsencode(text))
    while view:
        view = view[posix.write(1, view) :]
