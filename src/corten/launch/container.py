"""The fork that becomes a container's monitor: from the request to the loop's end."""

from __future__ import annotations

import os
from _socket import socket as Socket

from corten.errors import CortenError, InvalidArgument
from corten.kernel.process import start_time
from corten.launch import messages, placement
from corten.launch.binary import BinaryRuntime
from corten.launch.forked import become_monitor
from corten.launch.loop import Loop
from corten.launch.messages import Create, MonitorState, Published, RuntimeChoice
from corten.launch.monitor import Monitor
from corten.launch.native import NativeRuntime
from corten.launch.operations import handle
from corten.launch.peers import Peer, describe
from corten.launch.runtime import CreateRequest
from corten.launch.statefile import StateFile, boot_id, report_crash
from corten.spec import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.launch.runtime import Runtime
    from corten.launch.wire import Packet


def run(request: Create, packet: Packet, lock: int, host_mount_ns: int) -> None:
    """Be the monitor of one container until it has ended. Never returns.

    Arguments:
        packet: has the request's descriptors.
        lock: descriptor of the locked ``run_dir/lock``, kept open as long as we live.
        host_mount_ns: descriptor of the host's mount namespace.
    """
    code = 1
    try:
        keep = [lock, *packet.fds.values()]
        native = request.runtime.get("kind", "native") == "native"
        become_monitor(f"corten-{request.id[:8]}", keep, host_mount_ns, mounts=not native)
        monitor = _prepare(request, packet, lock, host_mount_ns)
        if monitor is not None:
            monitor.loop.run()
            monitor.close()
        code = 0
    except BaseException as error:
        report_crash(request.run_dir, error)
    finally:
        os._exit(code)


def _prepare(request: Create, packet: Packet, lock: int, host_mount_ns: int) -> Monitor | None:
    first = Socket(fileno=packet.take("control"))
    state = StateFile(request.run_dir, _first_state(request))
    try:
        if request.monitor_cgroup:
            placement.join(request.monitor_cgroup)
        runtime = _runtime(request, host_mount_ns)
        published = _published(request, packet)
        what = _what(request, packet, lock)
        if isinstance(runtime, NativeRuntime):
            runtime.prepare(what)
        state.write()
    except Exception as error:
        failure = error if isinstance(error, CortenError) else describe(error, "create")
        _refuse(first, state, failure)
        return None
    packet.close()
    monitor = Monitor(request, what, runtime, state, lambda peer, r: handle(monitor, peer, r))
    monitor.create(first, published)
    return monitor


def _what(request: Create, packet: Packet, lock: int) -> CreateRequest:
    """The request without what the monitor alone needs; takes the descriptors."""
    config = packet.take("config")
    if config < 0:
        raise InvalidArgument("the request has no config")
    spaces = [name for name in packet.fds if name.startswith("ns.")]
    return CreateRequest(
        id=request.id,
        config_fd=config,
        lock_fd=lock,
        run_dir=request.run_dir,
        bundle=request.bundle,
        rootfs=request.rootfs,
        rootfs_mounts=tuple([mount.from_dict(item) for item in request.rootfs_mounts]),
        cgroup=request.cgroup,
        seccomp=request.seccomp,
        ns_fds={name[3:]: packet.take(name) for name in spaces},
        no_pivot=request.no_pivot,
        systemd_cgroup=request.systemd_cgroup,
    )


def _first_state(request: Create) -> MonitorState:
    pid = os.getpid()
    return MonitorState(
        id=request.id,
        tenant=request.tenant,
        monitor_pid=pid,
        monitor_start_time=start_time(pid),
        cgroup=request.cgroup,
        bundle=request.bundle,
        runtime=request.runtime,
        tty=request.tty,
        boot_id=boot_id(),
    )


def _runtime(request: Create, host_mount_ns: int) -> Runtime:
    choice = messages.read(RuntimeChoice, request.runtime)
    if choice.kind == "native":
        return NativeRuntime(host_mount_ns)
    if choice.kind == "binary":
        return BinaryRuntime(choice, request.run_dir)
    raise InvalidArgument(f"there is no runtime of kind {choice.kind!r}")


def _published(request: Create, packet: Packet) -> list[tuple[int, Published]]:
    found = []
    for number, item in enumerate(request.published):
        fd = packet.take(f"published.{number}")
        if fd < 0:
            raise InvalidArgument(f"the socket of published port {number} is missing")
        found.append((fd, messages.read(Published, item)))
    return found


def _refuse(first: Socket, state: StateFile, error: CortenError) -> None:
    """Answer that nothing was made."""
    state.set(status="exited", cleaned=True, exit_code=128, error=error.to_dict())
    Peer(Loop(), first, lambda _peer, _request: None).fail(messages.CREATE_ID, error)
