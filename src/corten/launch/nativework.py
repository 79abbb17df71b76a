"""What a fork of the monitor does for the native runtime. Its messages over the channel:
the result, with descriptors; errors are sent by ``worker``."""

from __future__ import annotations

from corten.cgroups import open_cgroup
from corten.errors import CortenError
from corten.launch import config as configs
from corten.launch.bundle import shares_pid
from corten.launch.runtime import Streams
from corten.oci import container
from corten.oci.plan import PlanOptions, compile_plan, compile_process
from corten.spec._struct import replace
from corten.spec.runtime import parse_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.launch.process import LocalProcess
    from corten.launch.runtime import CreateRequest
    from corten.oci.channel import Channel
    from corten.oci.plan import Plan, ProcessPlan


def create(channel: Channel, request: CreateRequest, host: int) -> None:
    """Plan while the monitor gets ready; on ``go`` make the container and tell its init.

    Where a start is the bare order to init, its start socket goes along and we are done. Else
    wait for ``start`` or the end of the channel (then init ends as well: we hold its socket).
    """
    try:
        config = configs.load(request)
        plan = _plan(request, config, host)
        cgroup = _cgroup(request)
    except Exception:
        channel.receive()  # with the order unread our end would take the error with it
        raise
    answer = channel.receive()
    if answer is None:
        return
    streams = _streams(*answer)
    if cgroup is not None:
        cgroup.create()
        cgroup.apply(plan.resources)
    created = container.create(
        plan,
        stdio=None if streams.terminal else (streams.stdin, streams.stdout, streams.stderr),
        console=streams.terminal,
        console_size=_size(streams),
        cgroup=cgroup,
        ns_fds=request.ns_fds,
    )
    oom_fd = _oom_fd(cgroup)
    bare = container.starts_barely(plan)
    start_fd = created.start_fd if bare else -1
    channel.send(
        "created",
        *[fd for fd in (created.pidfd, created.console_fd, oom_fd, start_fd) if fd >= 0],
        pid=created.pid,
        console=created.console_fd >= 0,
        oom=oom_fd >= 0,
        shared_pid=shares_pid(request, config),
        poststop=bool((config.get("hooks") or {}).get("poststop")),
        steps=created.steps,
    )
    if not bare and channel.receive() is not None:
        container.start(created)
        channel.send("started")


def exec(
    channel: Channel,
    request: CreateRequest,
    init: LocalProcess,
    process: dict[str, Any],
    streams: Streams,
) -> None:
    """Run a process in the container and tell it."""
    started = container.exec_process(
        _process_plan(request, configs.load(request)),
        process,
        pid=init.pid,
        pidfd=init.fileno(),
        stdio=None if streams.terminal else (streams.stdin, streams.stdout, streams.stderr),
        console=streams.terminal,
        console_size=_size(streams),
        cgroup=_cgroup(request),
    )
    fds = [fd for fd in (started.pidfd, started.console_fd) if fd >= 0]
    channel.send("executed", *fds, pid=started.pid)


def poststop(channel: Channel, request: CreateRequest) -> None:
    """Run the poststop hooks."""
    container.run_poststop_hooks(_plan(request, configs.load(request), -1))
    channel.send("done")


def _plan(request: CreateRequest, config: dict[str, Any], host: int) -> Plan:
    program = configs.default_program(request, config)
    if program is None:
        config = configs.with_seccomp(request, config)
    options = PlanOptions(
        container_id=request.id,
        host_mount_ns=host,
        rootfs=request.rootfs,
        pivot=not request.no_pivot,
    )
    plan = compile_plan(
        config, bundle=request.bundle, rootfs_mounts=request.rootfs_mounts, options=options
    )
    if program is None:
        return plan
    return replace(plan, process=replace(plan.process, seccomp=program))


def _process_plan(request: CreateRequest, config: dict[str, Any]) -> ProcessPlan:
    """Of the plan what an exec takes from it, in a third of the time."""
    program = configs.default_program(request, config)
    if program is None:
        config = configs.with_seccomp(request, config)
    profile = (config.get("linux") or {}).get("seccomp") if program is None else None
    plan = compile_process(parse_process(config["process"]), profile)
    return plan if program is None else replace(plan, seccomp=program)


def _streams(order: dict[str, Any], fds: list[int]) -> Streams:
    """What comes with ``go``: three descriptors, or none with a terminal."""
    rows, columns = order["console_size"]
    ends = fds or (-1, -1, -1)
    return Streams(
        terminal=bool(order["terminal"]),
        stdin=ends[0],
        stdout=ends[1],
        stderr=ends[2],
        console_size=(int(rows), int(columns)),
    )


def _cgroup(request: CreateRequest) -> Cgroup | None:
    if not request.cgroup:
        return None
    return open_cgroup(request.cgroup, kind="systemd" if request.systemd_cgroup else None)


def _oom_fd(cgroup: Cgroup | None) -> int:
    try:
        return cgroup.oom_fd() if cgroup is not None else -1
    except CortenError:
        return -1  # OOM kills are counted at the end then


def _size(streams: Streams) -> tuple[int, int] | None:
    return streams.console_size if any(streams.console_size) else None
