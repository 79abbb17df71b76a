"""The attendant of a container's monitor: from the request, or from what its predecessor left,
to the loop's end."""

from __future__ import annotations

import os
from _socket import socket as Socket

from corten.errors import CortenError, InvalidArgument, Unavailable
from corten.kernel.creds import set_name
from corten.kernel.memory import own_pages
from corten.kernel.process import start_time
from corten.launch import messages, placement, slumber
from corten.launch.binary import BinaryRuntime
from corten.launch.forked import own_mounts
from corten.launch.keeper import Nap
from corten.launch.loop import Loop
from corten.launch.messages import Create, MonitorState, Published, RuntimeChoice, read
from corten.launch.monitor import Monitor
from corten.launch.native import NativeRuntime
from corten.launch.operations import handle
from corten.launch.peers import Peer, describe
from corten.launch.runtime import CreateRequest
from corten.launch.statefile import StateFile, boot_id, report_crash
from corten.launch.wire import Receiver
from corten.spec import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.runtime import Runtime
    from corten.launch.slumber import Bag
    from corten.launch.wire import Packet


def attend(orders: int, channel: Socket, state: bytes, fds: list[int], news: list[bytes]) -> None:
    """Be the attendant until the container is over or there is nothing to do.

    Arguments:
        orders: where the first one gets its request, with the descriptor ``lock`` (of the
            locked ``run_dir/lock``, kept open as long as we live) beside the request's own.
        channel: to the keeper.
        state, fds, news: what the last one left; nothing for the first.
    """
    nap = Nap(channel)
    run_dir = ""
    try:
        if state:
            data, bag = slumber.unpack(state, fds)
            run_dir = str(data["request"]["run_dir"])
            monitor = _resume(nap, data, bag, news)
        else:
            packet = _order(orders)
            request = read(Create, packet.data["args"])
            run_dir = request.run_dir
            first = _begin(nap, request, packet)
            if first is None:
                nap.over()
                os._exit(0)
            monitor = first
        if monitor.run():
            os._exit(0)  # the keeper has everything
        # the lock first: the end of a connection tells the engine to look at it
        os.close(monitor.what.lock_fd)
        monitor.close()
        nap.over()
        os._exit(0)
    except BaseException as error:
        if run_dir:
            report_crash(run_dir, error)
    finally:
        os._exit(1)


def _order(orders: int) -> Packet:
    """The request; ends with the launcher that would have sent it."""
    sock = Socket(fileno=orders)
    own_pages()  # while there is time
    try:
        packet = Receiver(sock).receive()
    except Unavailable:
        os._exit(0)
    sock.close()
    if packet is None:
        os._exit(1)
    return packet


def _begin(nap: Nap, request: Create, packet: Packet) -> Monitor | None:
    keeper = os.getppid()
    name = request.id[:8]
    set_name(f"corten+{name}")
    nap.name(f"corten-{name}")
    first = Socket(fileno=packet.take("control"))
    state = StateFile(request.run_dir, _first_state(request, keeper))
    try:
        packet.check()
        if request.monitor_cgroup:
            placement.join(request.monitor_cgroup, keeper)
        runtime = _runtime(request)
        published = _published(request, packet)
        what = _what(request, packet)
        if isinstance(runtime, BinaryRuntime):
            own_mounts()
        state.write()
    except Exception as error:
        failure = error if isinstance(error, CortenError) else describe(error, "create")
        _refuse(first, state, failure)
        return None
    packet.close()
    monitor = Monitor(request, what, runtime, state, lambda peer, r: handle(monitor, peer, r), nap)
    monitor.create(first, published)
    return monitor


def _resume(nap: Nap, data: dict[str, Any], bag: Bag, news: list[bytes]) -> Monitor:
    request = read(Create, data["request"])
    set_name(f"corten+{request.id[:8]}")
    state = StateFile.load(request.run_dir)
    what = _request(request, bag.take(data["config"]), bag.take(data["lock"]), {})
    runtime = _runtime(request)
    monitor = Monitor(request, what, runtime, state, lambda peer, r: handle(monitor, peer, r), nap)
    monitor.resume_from(data, bag)
    for packet in news:
        monitor.told(packet)
    return monitor


def _what(request: Create, packet: Packet) -> CreateRequest:
    """The request without what the monitor alone needs; takes the descriptors."""
    config = packet.take("config")
    if config < 0:
        raise InvalidArgument("the request has no config")
    spaces = [name for name in packet.fds if name.startswith("ns.")]
    taken = {name[3:]: packet.take(name) for name in spaces}
    return _request(request, config, packet.take("lock"), taken)


def _request(request: Create, config: int, lock: int, ns_fds: dict[str, int]) -> CreateRequest:
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
        ns_fds=ns_fds,
        no_pivot=request.no_pivot,
        systemd_cgroup=request.systemd_cgroup,
    )


def _first_state(request: Create, keeper: int) -> MonitorState:
    return MonitorState(
        id=request.id,
        tenant=request.tenant,
        monitor_pid=keeper,
        monitor_start_time=start_time(keeper),
        cgroup=request.cgroup,
        bundle=request.bundle,
        runtime=request.runtime,
        tty=request.tty,
        boot_id=boot_id(),
    )


def _runtime(request: Create) -> Runtime:
    choice = read(RuntimeChoice, request.runtime)
    if choice.kind == "native":
        return NativeRuntime()
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
