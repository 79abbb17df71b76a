"""``exec``: another process in a running container."""

from __future__ import annotations

from corten.cgroups import open_cgroup
from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel.creds import CAPABILITY_NUMBERS
from corten.oci import container
from corten.oci.cli_common import plan_of
from corten.oci.cli_run import check_console, send_console, send_pidfd
from corten.oci.cliargs import MANY, SWITCH, VALUE, parse
from corten.oci.identity import parse_cpu_list
from corten.oci.paths import clean
from corten.oci.records import Record, read_json, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings
    from corten.oci.cliargs import Arguments

EXEC = {
    "console-socket": VALUE,
    "cwd": VALUE,
    "env": MANY,
    "tty": SWITCH,
    "user": VALUE,
    "additional-gids": MANY,
    "process": VALUE,
    "detach": SWITCH,
    "pid-file": VALUE,
    "process-label": VALUE,
    "apparmor": VALUE,
    "no-new-privs": SWITCH,
    "cap": MANY,
    "preserve-fds": VALUE,
    "pidfd-socket": VALUE,
    "cgroup": MANY,
    "ignore-paused": SWITCH,
    "no-subreaper": SWITCH,
    "help": SWITCH,
}
_SHORT = {
    "e": "env",
    "t": "tty",
    "u": "user",
    "g": "additional-gids",
    "p": "process",
    "d": "detach",
    "c": "cap",
    "h": "help",
}
_RAISED = ("bounding", "effective", "permitted")


def exec_(settings: Settings, argv: list[str]) -> int:
    """Run a process in a container and, unless detached, stay until it ends."""
    args = parse(argv, EXEC, short=_SHORT, until_word=True)
    if not args.words:
        raise InvalidArgument('"exec" requires a container id')
    record = Record.find(settings.root, args.words[0])
    _check_status(record.status(), args.switch("ignore-paused"))
    process = _process(args, record.data["config"]["process"])
    detached = args.switch("detach")
    terminal = bool(process.get("terminal"))
    check_console(terminal, detached, args.text("console-socket"))
    if not detached:
        from corten.oci.foreground import Foreground

        foreground = Foreground()
    pidfd = record.alive("exec")
    for line in _described(process) if settings.log.wants_debug else ():
        settings.log.debug(line)
    plan = plan_of(settings, record)
    started = container.exec_process(
        plan.process,
        process,
        pid=record.pid,
        pidfd=pidfd,
        console=terminal,
        cgroup=_cgroup(record, args),
        preserve_fds=args.number("preserve-fds"),
        state=container.state(plan, "running", record.pid),
    )
    send_pidfd(args.text("pidfd-socket"), started.pidfd)
    if args.text("pid-file"):
        write_file(args.text("pid-file"), str(started.pid).encode(), 0o644)
    if not detached:
        foreground.prepare(started.console_fd)
        return foreground.wait(started.pidfd, started.console_fd)
    if terminal:
        send_console(args.text("console-socket"), started.console_fd)
    return 0


def _described(process: dict[str, Any]) -> list[str]:
    """What is about to happen, for ``--debug``."""
    lines = ["nsexec container setup"]
    initial = (process.get("execCPUAffinity") or {}).get("initial")
    if initial:
        mask = sum([1 << cpu for cpu in parse_cpu_list(initial)])
        lines.append(f"nsexec: affinity: {mask:#x}")
    arguments = " ".join([str(word) for word in process.get("args") or ()])
    return [*lines, "child process in init()", f"setns_init: about to exec {arguments}"]


def _check_status(status: str, ignore_paused: bool) -> None:
    if status == "stopped":
        raise FailedPrecondition("cannot exec in a stopped container")
    if status == "paused" and not ignore_paused:
        raise FailedPrecondition(
            "cannot exec in a paused container (use --ignore-paused to override)"
        )


def _process(args: Arguments, own: dict[str, Any]) -> dict[str, Any]:
    """The process object: from a file, or the container's with what the options change."""
    path = args.text("process")
    if path:
        document: dict[str, Any] = read_json(path, "process.json")
        return document
    if len(args.words) < 2:
        raise InvalidArgument("process args cannot be empty")
    process = {**own, "args": args.words[1:], "terminal": args.switch("tty")}
    process["env"] = [*(own.get("env") or ()), *args.many("env")]
    for option, member in (
        ("cwd", "cwd"),
        ("apparmor", "apparmorProfile"),
        ("process-label", "selinuxLabel"),
    ):
        if args.text(option):
            process[member] = args.text(option)
    if args.switch("no-new-privs"):
        process["noNewPrivileges"] = True
    process["user"] = _user(args, own.get("user") or {})
    for name in args.many("cap"):
        if name not in CAPABILITY_NUMBERS:
            raise InvalidArgument(f"unknown capability {name!r}")
    if args.many("cap"):
        sets = dict(own.get("capabilities") or {})
        for name in _RAISED:
            sets[name] = [*(sets.get(name) or ()), *args.many("cap")]
        # what may be inherited comes to be effective only where it is ambient
        inherited = [name for name in args.many("cap") if name in (sets.get("inheritable") or ())]
        sets["ambient"] = [*(sets.get("ambient") or ()), *inherited]
        process["capabilities"] = sets
    return process


def _user(args: Arguments, own: dict[str, Any]) -> dict[str, Any]:
    user = dict(own)
    if args.text("user"):
        uid, colon, gid = args.text("user").partition(":")
        if not uid.isdigit() or (colon and not gid.isdigit()):
            raise InvalidArgument(f"user {args.text('user')!r} is not UID[:GID]")
        user["uid"] = int(uid)
        if colon:
            user["gid"] = int(gid)
        user.pop("username", None)
    gids = args.many("additional-gids")
    if gids:
        if not all([gid.isdigit() for gid in gids]):
            raise InvalidArgument("additional gids must be numbers")
        user["additionalGids"] = [*(user.get("additionalGids") or ()), *[int(g) for g in gids]]
    return user


def _cgroup(record: Record, args: Arguments) -> Cgroup | None:
    """The container's, or the one below it that ``--cgroup`` names, ``[CONTROLLER,…:]PATH``."""
    own = record.cgroup()
    below = args.many("cgroup")
    if not below or own is None:
        return own
    paths: dict[str, str] = {}
    for item in below:
        controllers, colon, path = item.rpartition(":")
        for name in controllers.split(",") if colon else ("",):
            if name in paths:
                raise InvalidArgument(f"--cgroup names {name or 'a path'} twice")
            if ".." in path.split("/"):
                raise InvalidArgument(
                    f"bad sub cgroup path: `..` components are not allowed: {item}"
                )
            paths[name] = f"{own.path}{clean(path)}".rstrip("/")
    from corten.cgroups.v1 import V1Cgroup

    if list(paths) == [""]:
        group = open_cgroup(paths[""], kind=own.kind)
        if not group.exists():
            raise InvalidArgument(
                "adding pid to cgroup: no such file or directory", path=group.path
            )
        return own.redirected_where_there(paths[""]) if isinstance(own, V1Cgroup) else group
    if not isinstance(own, V1Cgroup):
        raise InvalidArgument("--cgroup takes controllers on cgroup v1 alone")
    return own.redirected(paths)
