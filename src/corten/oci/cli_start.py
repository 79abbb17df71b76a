"""``start``."""

from __future__ import annotations

import posix

from corten.errors import CortenError, FailedPrecondition
from corten.kernel.process import pidfd_send_signal
from corten.oci import lifecycle
from corten.oci.channel import Channel
from corten.oci.cli_common import destroy, one_id, plan_of
from corten.oci.cliargs import SWITCH, parse
from corten.oci.failure import failed
from corten.oci.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.cli import Settings
    from corten.oci.planned import Plan

START = {"help": SWITCH}
_SHORT = {"h": "help"}
_SIGKILL = 9
_KILL_TIMEOUT = 10  # seconds


def start(settings: Settings, argv: list[str]) -> int:
    """Execute the program of a created container."""
    args = parse(argv, START, short=_SHORT)
    record = Record.find(settings.root, one_id(args, "start"), lock=True)
    try:
        status = record.status()
        if status != "created":
            problem = {
                "stopped": "cannot start a container that has stopped",
                "running": "cannot start an already running container",
            }.get(status, f"cannot start a container in the {status} state")
            raise FailedPrecondition(problem)
        plan = plan_of(settings, record) if _wants_plan(record.data["config"]) else None
        _start_by_socket(record, plan)
        if plan is not None:
            _poststart(settings, record, plan)
    finally:
        record.close()
    return 0


def _wants_plan(config: dict[str, Any]) -> bool:
    """Whether there is more to do than to give the order (see ``lifecycle.starts_barely``)."""
    linux = config.get("linux") or {}
    kinds = [entry.get("type") for entry in linux.get("namespaces") or ()]
    hooks, seccomp = config.get("hooks") or {}, linux.get("seccomp") or {}
    return "user" in kinds or bool(hooks.get("poststart") or seccomp.get("listenerPath"))


def _start_by_socket(record: Record, plan: Plan | None) -> None:
    """Init takes one connection. The socket's name goes before the order: whoever is killed
    in between leaves an init that ends, never one that nobody can start."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket

    directory = posix.open(record.path, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    try:
        # the path itself may be longer than a socket's address
        sock.connect(f"/proc/self/fd/{directory}/start.sock")
    except OSError as error:
        sock.close()
        raise failed("start", error, path=record.start_socket) from None
    finally:
        posix.close(directory)
    posix.unlink(record.start_socket)
    if plan is None:
        lifecycle.order_start(sock.detach())
    else:
        lifecycle.start_over(Channel(sock.detach()), plan, record.pid)


def _poststart(settings: Settings, record: Record, plan: Plan) -> None:
    try:
        lifecycle.run_poststart_hooks(plan, record.pid)
    except CortenError:
        import select

        # the container is destroyed (runtime.md, "Lifecycle" 9)
        pidfd = record.pidfd()
        if pidfd >= 0:
            pidfd_send_signal(pidfd, _SIGKILL)
            select.select([pidfd], [], [], _KILL_TIMEOUT)
            posix.close(pidfd)
        destroy(record, record.cgroup(), plan, settings)
        raise
