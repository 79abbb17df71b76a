"""The monitor of a pod: it holds the pod's namespaces; nothing else runs for a pod.

Where the pod shares a PID namespace, a reaper that was forked from the same warm process is
its PID 1. The reaper has no descriptor and no privilege, and its root directory is empty:
a container of the pod that may trace it finds nothing.
"""

from __future__ import annotations

import _signal  # `signal` imports enum
import os
from _socket import socket as Socket
from time import monotonic, time_ns

from corten.errors import CortenError, Internal, InvalidArgument, Unimplemented
from corten.kernel import creds
from corten.kernel import mounts as k
from corten.kernel.files import write_proc
from corten.kernel.namespaces import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    KINDS,
    open_namespace,
    sethostname,
    setns,
    unshare,
)
from corten.kernel.process import clone3, start_time
from corten.launch import messages, placement
from corten.launch.children import Children
from corten.launch.forked import become_monitor, keep_only, own_mounts
from corten.launch.grouppaths import open_group
from corten.launch.loop import Loop
from corten.launch.messages import CreatePod, MonitorState
from corten.launch.peers import Listener, Peer, Request, describe
from corten.launch.process import LocalProcess
from corten.launch.statefile import StateFile, boot_id, report_crash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup
    from corten.launch.wire import Packet

_MAKES = ("ipc", "uts", "pid")
_PATIENCE = 60.0  # seconds for the containers of a pod to end when the machine goes down
_LOOK = 0.1  # seconds


def run(request: CreatePod, packet: Packet, lock: int, host_mount_ns: int) -> None:
    """Be the monitor of one pod until it is deleted. Never returns.

    Arguments:
        packet: has the request's descriptors.
        lock: descriptor of the locked ``run_dir/lock``, kept open as long as we live.
        host_mount_ns: descriptor of the host's mount namespace.
    """
    code = 1
    try:
        become_monitor(f"corten-{request.id[:8]}", [lock, *packet.fds.values()], host_mount_ns)
        own_mounts()
        monitor = PodMonitor(request)
        monitor.create(packet)
        monitor.loop.run()
        monitor.close()
        code = 0
    except BaseException as error:
        report_crash(request.run_dir, error)
    finally:
        os._exit(code)


class PodMonitor:
    """Holds namespaces and answers for them."""

    def __init__(self, request: CreatePod) -> None:
        self.loop = Loop()
        self._request = request
        self._held: dict[str, int] = {}
        self._peers: list[Peer] = []
        self._reaper: LocalProcess | None = None
        self._cgroup: Cgroup | None = None
        self._listener: Listener | None = None
        self._deadline = 0.0  # when we end regardless, once we were told to
        self._children = Children(self.loop, self._told_to_end)
        pid = os.getpid()
        first = MonitorState(
            kind="pod",
            id=request.id,
            tenant=request.tenant,
            monitor_pid=pid,
            monitor_start_time=start_time(pid),
            cgroup=request.cgroup,
            boot_id=boot_id(),
        )
        self._state = StateFile(request.run_dir, first)

    def create(self, packet: Packet) -> None:
        """Make what was asked for and answer."""
        peer = self._accept(Socket(fileno=packet.take("control")))
        peer.subscribed = True
        try:
            self._state.write()
            self._listener = Listener(self.loop, self._request.run_dir, self._accepted)
            self._make(packet)
        except Exception as error:
            failure = error if isinstance(error, CortenError) else describe(error, "pod")
            self._state.record["error"] = failure.to_dict()
            self._clean()
            peer.fail(messages.CREATE_ID, failure)
            return
        pid = self._reaper.pid if self._reaper is not None else 0
        started = start_time(pid) if pid else 0
        now = time_ns()
        self._state.set(
            status="running", pid=pid, start_time=started, created_at=now, started_at=now
        )
        created = messages.PodCreated(pid=pid, start_time=started)
        peer.reply(messages.CREATE_ID, created.to_dict(), self._named())

    def _make(self, packet: Packet) -> None:
        request = self._request
        if request.monitor_cgroup:
            placement.join(request.monitor_cgroup)
        network = packet.take("ns.network")
        packet.close()
        if network >= 0:
            self._held["network"] = network
        flags = 0
        for kind in request.namespaces:
            if kind not in _MAKES:
                raise InvalidArgument(f"a pod's monitor makes no {kind} namespace")
            flags |= KINDS[kind][0]
        if flags & CLONE_NEWPID and request.cgroup:
            # Before the namespace: systemd's groups begin with a process that only holds them,
            # which would be its PID 1.
            self._cgroup = open_group(request.cgroup)
            self._cgroup.create()
        unshare(flags)
        for kind in request.namespaces:
            if kind != "pid":
                self._held[kind] = open_namespace(kind)
        if request.hostname:
            if "uts" not in request.namespaces:
                raise InvalidArgument("a host name needs a UTS namespace")
            sethostname(request.hostname)
        self._write_sysctls()
        if flags & CLONE_NEWPID:
            self._start_reaper()

    def _write_sysctls(self) -> None:
        """``net`` ones inside the network namespace: procfs shows the caller's. The monitor
        itself is in the new IPC namespace."""
        if not self._request.sysctls:
            return
        own = open_namespace("network")
        try:
            if "network" in self._held:
                setns(self._held["network"], CLONE_NEWNET)
            for name, value in self._request.sysctls.items():
                _write_sysctl(name, value)
        finally:
            setns(own, CLONE_NEWNET)
            os.close(own)

    def _start_reaper(self) -> None:
        ready, theirs = os.pipe2(os.O_CLOEXEC)
        pid, pidfd = clone3()
        if pid == 0:
            # With a reading end of its own it would not notice that we are gone.
            os.close(ready)
            _reap_for_ever(theirs)
        os.close(theirs)
        self._reaper = LocalProcess(pid, pidfd)
        alive = os.read(ready, 1)
        os.close(ready)
        if alive != b"r":
            self._reaper.reap()
            raise Internal("the pod's first process ended", step="start reaper")
        if self._cgroup is not None:
            self._cgroup.add_process(pid)
            self._cgroup.joined()
        self._held["pid"] = open_namespace("pid", pid)
        self._children.expect(self._reaper, self._reaper_ended)

    def _reaper_ended(self) -> None:
        """Somebody killed it: every process of the pod's PID namespace is gone."""
        self._clean()

    def _told_to_end(self) -> None:
        """SIGTERM: the machine goes down. The containers' monitors heard it as well, and what is
        in a PID namespace of ours would be killed with our reaper: it is given time to end."""
        if not self._deadline:
            self._deadline = monotonic() + _PATIENCE
            self._end_when_alone()

    def _end_when_alone(self) -> None:
        if self._reaper is None or monotonic() > self._deadline or _alone(self._reaper.pid):
            self._clean()
        else:
            self.loop.after(_LOOK, self._end_when_alone)

    # --- the socket --------------------------------------------------------------------

    def _accept(self, sock: Socket) -> Peer:
        peer = Peer(self.loop, sock, self._handle)
        peer.gone = self._peers.remove
        self._peers.append(peer)
        return peer

    def _accepted(self, sock: Socket) -> None:
        self._accept(sock)

    def _named(self) -> dict[str, int]:
        return {f"ns.{kind}": fd for kind, fd in self._held.items()}

    def _handle(self, peer: Peer, request: Request) -> None:
        if request.op == "namespaces":
            peer.reply(request.id, {}, self._named())
        elif request.op in ("state", "subscribe"):
            peer.subscribed = peer.subscribed or request.op == "subscribe"
            peer.reply(request.id, self._state.record)
        elif request.op == "delete":
            self._clean()
            peer.reply(request.id, {})
        else:
            raise Unimplemented(f"a pod's monitor knows no operation {request.op!r}")

    def _clean(self) -> None:
        """Let everything go and end."""
        if not self.loop.running:
            return
        self.loop.running = False
        if self._reaper is not None:
            _end(self._reaper)
        if self._cgroup is not None:
            self._cgroup.kill(9)
            self._cgroup.delete()
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()
        self._state.set(status="exited", cleaned=True, finished_at=time_ns())
        exit = messages.Exit(code=0, finished_at=self._state.record["finished_at"])
        for peer in list(self._peers):
            peer.event(messages.EVENT_EXIT, exit.to_dict())

    def close(self) -> None:
        """Close what is open; the last thing a monitor does."""
        if self._listener is not None:
            self._listener.close()
        for peer in list(self._peers):
            peer.close()


def _alone(pid: int) -> bool:
    """Whether a process is the last one of its PID namespace."""
    own = os.stat(f"/proc/{pid}/ns/pid").st_ino
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != pid:
            try:
                if os.stat(f"/proc/{name}/ns/pid").st_ino == own:
                    return False
            except OSError:  # it has ended
                continue
    return True


def _end(reaper: LocalProcess) -> None:
    """Kill a reaper and wait until its whole PID namespace is gone."""
    if reaper.reap() is None:
        reaper.signal(9)
        os.waitid(os.P_PIDFD, reaper.fileno(), os.WEXITED)
    reaper.close()


def _write_sysctl(name: str, value: str) -> None:
    if not name.startswith(("net.", "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
        raise InvalidArgument(f"sysctl {name} is not a namespace's own", step="sysctl")
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        write_proc(path, value.encode())
    except OSError as error:
        raise InvalidArgument(
            f"sysctl {name}={value}: {error.strerror}",
            step="sysctl",
            path=path,
            errno=error.errno or 0,
        ) from None


def _reap_for_ever(ready: int) -> None:
    """PID 1 of the pod. Never returns; ends by SIGKILL from outside, or with its monitor."""
    try:
        creds.set_pdeathsig(_signal.SIGKILL)
        creds.set_name("corten-pod")
        _empty_root()
        for number in range(1, 65):
            if number not in (9, 19, 32, 33):
                _signal.signal(number, _signal.SIG_DFL)
        _signal.set_wakeup_fd(-1)
        creds.set_no_new_privs()
        creds.capset(0, 0, 0)
        os.write(ready, b"r")
        keep_only([])
        # The kernel itself reaps the children, and orphans, of whoever ignores SIGCHLD.
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        while True:
            _signal.pause()
    finally:
        os._exit(1)


def _empty_root() -> None:
    """Give up every file system: a read-only, empty one becomes the root."""
    unshare(CLONE_NEWNS)
    k.mount("", "/", "", k.MS_REC | k.MS_PRIVATE)
    flags = k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC
    k.mount("corten", "/proc", "tmpfs", flags | k.MS_RDONLY, "size=0,mode=555")
    os.chdir("/proc")
    k.pivot_root(".", ".")
    k.umount2(".", k.MNT_DETACH)
    os.chdir("/")
