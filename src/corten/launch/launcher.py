"""The launcher: a warm process with one thread, from which every monitor is forked.

It never waits for a monitor: a monitor answers over a connection of its own. It never
imports after its warm-up, ends when its daemon's socket does, and keeps nothing of a
request once the fork is made.
"""

from __future__ import annotations

import _signal  # `signal` imports enum
import fcntl
import gc
import os
import sys
from _socket import socket as Socket
from select import POLLERR, POLLHUP, POLLIN, poll

import corten
from corten.cgroups import preload
from corten.errors import (
    AlreadyExists,
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
    Unimplemented,
)
from corten.kernel.creds import set_child_subreaper, set_dumpable, set_name
from corten.kernel.process import clone3, start_time
from corten.launch import (
    config,
    filling,
    messages,
    placement,
    pod,
    pools,
    protection,
    wire,
)
from corten.launch.dns import resolver
from corten.launch.forked import ignore_signals
from corten.launch.messages import Create, CreatePod, CreateResolver, read
from corten.launch.netns import NetworkNamespaces
from corten.launch.peers import describe
from corten.launch.rehearsal import rehearse
from corten.launch.spares import Spares
from corten.oci import plan
from corten.oci.seccomp import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.wire import Packet

    Operation = Callable[["Packet", dict[str, Any]], None]

_LOCK_TRIES = 50  # two milliseconds each
_END_TRIES = 1000  # for forks of a launcher that was killed to close what they got from it


class Launcher:
    """Answers requests until the other end is gone."""

    def __init__(self, sock: Socket, lock: int, host_mount_ns: int, protected: bool) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lock = lock
        self._host = host_mount_ns
        self._protected = protected
        self._receiver = wire.Receiver(sock)
        self._namespaces = NetworkNamespaces(host_mount_ns)
        self._poll = poll()
        self._poll.register(sock.fileno(), POLLIN)
        self._spares = Spares(host_mount_ns, self._poll)
        self._running = True
        self._id = 0
        self._table: dict[str, Operation] = {
            "hello": self._hello,
            "create": self._create,
            "pod": self._create_pod,
            "fill": self._fill,
            "resolver": self._create_resolver,
            "netns": self._netns,
            "netlink": self._netlink,
            "unpin": self._unpin,
            "shutdown": self._shutdown,
        }

    def run(self) -> None:
        """Until the daemon is gone. What it asked for before its end is not begun any more:
        nobody would know the outcome."""
        while self._running:
            if not self._asked():
                self._prepare()
                self._poll.poll()
            try:
                packet = self._receiver.receive()
            except Unavailable:
                return
            except CortenError as error:  # nonsense: the daemon is not what we think it is
                sys.stderr.write(f"corten launcher: {error}\n")
                return
            if packet is not None and not self._peer_gone():
                self._handle(packet)

    def _asked(self) -> bool:
        mine = self._sock.fileno()
        return any([fd == mine for fd, _ in self._poll.poll(0)])

    def _prepare(self) -> None:
        """What can be done while nobody waits for it."""
        try:
            self._spares.refill()
        except (OSError, CortenError):
            pass  # who needs one is told

    def _peer_gone(self) -> bool:
        mine = self._sock.fileno()
        ready = self._poll.poll(0)
        return any([fd == mine and events & (POLLHUP | POLLERR) for fd, events in ready])

    def _handle(self, packet: Packet) -> None:
        data = packet.data
        self._id = int(data.get("id", -1))
        try:
            operation = self._table.get(str(data.get("op")))
            if operation is None:
                raise Unimplemented(f"a launcher knows no operation {data.get('op')!r}")
            packet.check()
            operation(packet, data.get("args") or {})
        except CortenError as error:
            self._send({"id": self._id, "error": error.to_dict()}, {})
        except Exception as error:
            failure = describe(error, str(data.get("op")))
            self._send({"id": self._id, "error": failure.to_dict()}, {})
        finally:
            packet.close()

    def _reply(self, message: messages.Message | None, fds: dict[str, int] | None = None) -> None:
        ok = message.to_dict() if message is not None else {}
        self._send({"id": self._id, "ok": ok}, fds or {})

    def _send(self, data: dict[str, Any], fds: dict[str, int]) -> None:
        packets, spill = wire.encode(data, fds)
        waiting = poll()
        waiting.register(self._sock.fileno(), 4)  # POLLOUT
        for raw, numbers in packets:
            while True:
                try:
                    wire.send_packet(self._sock, raw, numbers)
                    break
                except BlockingIOError:
                    waiting.poll()
                except Unavailable:
                    self._running = False
                    break
        if spill >= 0:
            os.close(spill)

    # --- operations --------------------------------------------------------------------

    def _hello(self, _packet: Packet, _args: dict[str, Any]) -> None:
        self._reply(
            messages.HelloReply(
                version=messages.VERSION,
                oldest=messages.OLDEST_VERSION,
                pid=os.getpid(),
                package=corten.__version__,
                python=sys.version.split()[0],
                protected=self._protected,
            )
        )

    def _create(self, packet: Packet, args: dict[str, Any]) -> None:
        """Hand the request to a monitor that was forked ahead, its run directory locked."""
        request = _read(Create, args)
        lock = _locked(packet, request.run_dir)
        try:
            spare = self._spares.give(packet.data, {**packet.fds, "lock": lock})
        finally:
            os.close(lock)
        try:
            forked = messages.Forked(pid=spare.pid, start_time=spare.start_time)
            self._reply(forked, {"pidfd": spare.pidfd})
        finally:
            spare.close()

    def _create_pod(self, packet: Packet, args: dict[str, Any]) -> None:
        request = _read(CreatePod, args)
        self._fork(packet, request.run_dir, lambda lock: (
            pod.run(request, packet, lock, self._host)
        ))  # fmt: skip

    def _create_resolver(self, packet: Packet, args: dict[str, Any]) -> None:
        request = _read(CreateResolver, args)
        self._fork(packet, request.run_dir, lambda lock: (
            resolver.run(request, packet, lock, self._host)
        ))  # fmt: skip

    def _fork(self, packet: Packet, run_dir: str, run: Callable[[int], None]) -> None:
        """Fork a process that locks its run directory, and tell of it."""
        lock = _locked(packet, run_dir)
        try:
            pid, pidfd = clone3()
            if pid == 0:
                _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
                _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
                run(lock)
        finally:
            os.close(lock)
        try:
            forked = messages.Forked(pid=pid, start_time=_start_time(pid))
            self._reply(forked, {"pidfd": pidfd})
        finally:
            os.close(pidfd)

    def _fill(self, packet: Packet, args: dict[str, Any]) -> None:
        request = _read(messages.Fill, args)
        if "control" not in packet.fds:
            raise InvalidArgument("the request has no control socket")
        parent = os.getpid()
        pid, pidfd = clone3()
        if pid == 0:
            filling.run(request, packet, self._host, parent)
        os.close(pidfd)
        self._reply(None)

    def _netns(self, _packet: Packet, args: dict[str, Any]) -> None:
        fd, netlink = self._namespaces.make(read(messages.MakeNetns, args).pin)
        try:
            reply = messages.NetnsReply(inode=os.fstat(fd).st_ino)
            self._reply(reply, {"netns": fd, "netlink": netlink.fileno()})
        finally:
            os.close(fd)
            netlink.close()

    def _netlink(self, packet: Packet, _args: dict[str, Any]) -> None:
        if "netns" not in packet.fds:
            raise InvalidArgument("the request has no network namespace")
        netlink = self._namespaces.open_netlink(packet.fds["netns"])
        try:
            self._reply(None, {"netlink": netlink.fileno()})
        finally:
            netlink.close()

    def _unpin(self, _packet: Packet, args: dict[str, Any]) -> None:
        self._namespaces.unpin(read(messages.Unpin, args).path)
        self._reply(None)

    def _shutdown(self, _packet: Packet, _args: dict[str, Any]) -> None:
        self._running = False
        self._reply(None)


def _read(cls: type[messages._M], args: dict[str, Any]) -> messages._M:
    try:
        return read(cls, args)
    except TypeError as error:
        raise InvalidArgument(str(error)) from None


def _start_time(pid: int) -> int:
    try:
        return start_time(pid)
    except OSError:  # it has ended already
        return 0


def _locked(packet: Packet, run_dir: str) -> int:
    """The locked run directory of a request. It is locked before there is a monitor: a lock
    that is free proves that none lives."""
    if "control" not in packet.fds:
        raise InvalidArgument("the request has no control socket")
    return _lock(f"{run_dir}/lock")


def _lock(path: str, tries: int = _LOCK_TRIES) -> int:
    """Lock a file; the lock is shared with the forks that keep the descriptor.

    Raises:
        AlreadyExists: somebody holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(tries):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            # Whoever asks whether it is locked holds it for a moment.
            if attempt + 1 < tries:
                poll().poll(2)
    os.close(fd)
    raise AlreadyExists("a monitor lives in this run directory", path=path)


def main(argv: list[str]) -> int:
    """``fd=N state=DIR [cgroup=PATH] [protect=0] [host=N]``; the exit code."""
    options = dict([word.partition("=")[::2] for word in argv])
    state_dir = options["state"]
    host = int(options.get("host", "-1"))
    if host < 0:
        host = protection.enter(state_dir) if options.get("protect") != "0" else -1
        if host >= 0:
            protection.execute_again(host)
        host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    os.set_inheritable(host, False)
    sock = Socket(fileno=int(options["fd"]))
    os.set_inheritable(sock.fileno(), False)
    lock = _lock_launcher(state_dir)
    if options.get("cgroup"):
        placement.move_into(options["cgroup"])
    warm_up(state_dir)
    Launcher(sock, lock, host, protection.protected()).run()
    return 0


def _lock_launcher(state_dir: str) -> int:
    try:
        fd = _lock(f"{state_dir}/launcher.lock", _END_TRIES)
    except AlreadyExists:
        raise FailedPrecondition(
            "another launcher serves this state directory", path=state_dir
        ) from None
    # In place, as long as any number: on a full disk there is no other space for it.
    os.write(fd, b"%-10d\n" % os.getpid())
    return fd


def warm_up(state_dir: str) -> None:
    """Everything that a fork would have to do otherwise; then no import works any more."""
    ignore_signals()
    os.setsid()
    set_name("corten-launcher")
    set_dumpable(False)
    os.umask(0o022)
    os.chdir("/")
    preload(systemd=placement.under_systemd())
    cache.preload()
    config.warm_up()
    plan.preload()
    rehearse(state_dir)
    set_child_subreaper(False)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # monitors are nobody's zombies
    # It ends us as SIGKILL does: the daemon starts another. No fork of ours is concerned.
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
    gc.disable()
    gc.collect()
    pools.use_up()
    gc.freeze()
