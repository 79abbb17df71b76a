"""One container's monitor: parent of its init, owner of its streams, log and exit status.

        creating ──> created ──> running <──> paused
            │           │           │            │
            └───────────┴───────────┴────────────┴──> exited ──> (cleaned) ──> the monitor ends

``exited`` is written to ``state.json`` as soon as init is reaped, before anybody is told;
subscribers hear of it when the output was read to its end; then the cgroup goes, the
poststop hooks run, ``cleaned`` is written, and the monitor ends.
"""

from __future__ import annotations

from _socket import socket as Socket
from time import monotonic, time_ns

from corten.errors import CortenError, FailedPrecondition, NotFound, NotModified
from corten.kernel.process import start_time
from corten.launch import messages
from corten.launch.children import Children
from corten.launch.execs import Execs, failure_code
from corten.launch.health import HealthChecks
from corten.launch.logfile import open_log
from corten.launch.loop import READ, Loop
from corten.launch.peers import Listener, Peer, Request, describe
from corten.launch.relay import Relay
from corten.launch.slumber import Bag, pack
from corten.launch.statefile import StateFile
from corten.launch.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.keeper import Nap
    from corten.launch.logfile import LogSink
    from corten.launch.messages import Create
    from corten.launch.peers import Handler
    from corten.launch.runtime import CreateRequest, Process, Runtime

_FULL_DISK = 0.5  # seconds between attempts to write the last state
_SIGTERM = 15
_LINGER = 0.05  # seconds between looks whether attachers have taken what is left
# Seconds without anything to do after which the attendant ends: at first, and at most. Who is
# woken soon sleeps less readily: each time takes a fork.
_TIRED = 0.25
_RESTLESS = 2.0
_BUSY = 8.0  # seconds, at most, between attempts while an attacher or the like forbids it
_SOON = 2.0  # seconds of sleep


class Monitor:
    """See the module's text. Operations of its socket are in ``operations``."""

    def __init__(
        self,
        request: Create,
        what: CreateRequest,
        runtime: Runtime,
        state: StateFile,
        handler: Handler,
        nap: Nap | None = None,
    ) -> None:
        """``nap``: the way to the keeper; None: there is none, and no rest."""
        self.request = request
        self.runtime = runtime
        self.state = state
        self.loop = Loop()
        self.peers: list[Peer] = []
        self.log: LogSink | None = None
        self.stdio: Stdio | None = None
        self.deleting: list[tuple[Peer, Request]] = []
        self.what = what
        self._handler = handler
        self._nap = nap
        self._tired = _TIRED
        self._children = Children(self.loop, self._told_to_end, nap)
        self._relay = Relay(self.loop)
        self._process: Process | None = None
        self._listener: Listener | None = None
        self._failure: CortenError | None = None
        self._drained = False
        self._going_down = False
        self._health: HealthChecks | None = None
        self.execs = Execs(self.loop, self._children, runtime, state, self.tell, self._end_if_over)

    @property
    def status(self) -> str:
        """As in ``state.json``."""
        status: str = self.state.record["status"]
        return status

    # --- the attendant -----------------------------------------------------------------

    def run(self) -> bool:
        """Work until the container is over (False), or until nothing has happened for a while
        and the keeper has taken over everything (True)."""
        patience = usual = self._tired if self._nap is not None else -1.0
        while self.loop.running:
            if self.loop.turn(patience):
                patience = usual
            elif self._rest():
                return True
            else:
                patience = min(_BUSY, 2 * patience)
        return False

    def told(self, packet: bytes) -> None:
        """What the keeper had to say while nobody was here."""
        self._children.told(packet)

    def _rest(self) -> bool:
        """Leave everything to the keeper, if it can be left."""
        nap, bag = self._nap, Bag()
        if nap is None or self._health is not None:  # checks are due all the time
            return False
        if self.status not in ("created", "running", "paused"):
            return False
        if self.execs or self.deleting or self.state.behind or self.loop.due:
            return False
        if self._failure or self._going_down:
            return False
        parts = {
            "runtime": self.runtime.rest(bag),
            "stdio": self.stdio.rest(bag) if self.stdio is not None else None,
            "relay": self._relay.rest(bag),
            "log": self.log.rest(bag) if self.log is not None else None,
            "peers": self._resting_peers(bag),
        }
        if self._listener is None or any([part is None for part in parts.values()]):
            return False
        data = {
            **parts,
            "request": self.request.to_dict(),
            "listener": bag.watch(self._listener.fileno()),
            "config": bag.hold(self.what.config_fd),
            "lock": bag.hold(self.what.lock_fd),
            "tired": self._tired,
            "since": monotonic(),
        }
        if nap.rest(pack(data, bag), bag.watched, bag.held):
            return True
        for packet in nap.unread:
            self.told(packet)
        nap.unread.clear()
        return False

    def _resting_peers(self, bag: Bag) -> list[Any] | None:
        if any([peer.busy for peer in self.peers]):
            return None
        return [[bag.watch(peer.sock.fileno()), peer.subscribed] for peer in self.peers]

    def resume_from(self, data: dict[str, Any], bag: Bag) -> None:
        """Go on where another attendant left off."""
        request = self.request
        soon = monotonic() - data["since"] < _SOON
        self._tired = min(_RESTLESS, 2 * data["tired"]) if soon else _TIRED
        self._listener = Listener(
            self.loop, request.run_dir, self._accepted, bag.take(data["listener"])
        )
        self.log = open_log(messages.read(messages.Log, request.log), data["log"], bag)
        self._process = self.runtime.resume_from(data["runtime"], bag, self.what)
        self._children.expect(self._process, self._ended)
        self.stdio = Stdio.resume_from(self.loop, self.log, data["stdio"], bag)
        self._relay.resume_from(data["relay"], bag)
        for key, subscribed in data["peers"]:
            self.accept(Socket(fileno=bag.take(key))).subscribed = bool(subscribed)
        self._watch_events()

    # --- life --------------------------------------------------------------------------

    def create(self, first: Socket, published: list[tuple[int, messages.Published]]) -> None:
        """Make the container and answer; on an error everything is gone and the monitor ends.

        Arguments:
            first: the connection that asked; subscribed from now on.
            published: listening sockets, ours from now on.
        """
        peer = self.accept(first)
        peer.subscribed = True
        for fd, target in published:
            self._relay.publish(fd, target)
        try:
            self._create()
        except Exception as error:
            failure = error if isinstance(error, CortenError) else describe(error, "create")
            self._failed(failure)
            peer.fail(messages.CREATE_ID, failure)
            return
        record = self.state.record
        created = messages.Created(
            pid=record["pid"], start_time=record["start_time"], steps=tuple(self.runtime.steps)
        )
        peer.reply(messages.CREATE_ID, created.to_dict())

    def _create(self) -> None:
        request = self.request
        self._listener = Listener(self.loop, request.run_dir, self._accepted)
        self.log = open_log(messages.read(messages.Log, request.log))
        self.stdio = Stdio(
            self.loop,
            tty=request.tty,
            stdin=request.stdin_open,
            stdin_once=request.stdin_once,
            log=self.log,
            console_size=request.console_size,
        )
        process = self._process = self.runtime.create(self.what, self.stdio.ends)
        self.stdio.created(process.console_fd)
        process.console_fd = -1
        self._children.expect(process, self._ended)
        self._watch_events()
        self.state.set(
            status="created",
            pid=process.pid,
            start_time=start_time_of(process.pid),
            created_at=time_ns(),
        )

    def _failed(self, error: CortenError) -> None:
        """The container was never made."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self.stdio is not None:
            self.stdio.close()
        self._delete_runtime()
        self.state.set(
            status="exited",
            cleaned=True,
            exit_code=failure_code(error),
            error=error.to_dict(),
            finished_at=time_ns(),
        )
        self._drained = True
        self._end_if_over()

    def start(self) -> None:
        """Execute the program."""
        if self.status != "created":
            raise FailedPrecondition(f"the container is {self.status}", step="start")
        try:
            self.runtime.start()
        except CortenError as error:
            self._failure = error
            self._kill_quietly()
            raise
        now = time_ns()
        self.state.set(status="running", started_at=now)
        if self.request.health:
            self._health = HealthChecks(
                messages.read(messages.Health, self.request.health),
                self.loop,
                self._children,
                self.runtime,
                self.state,
                self.tell,
            )
        started = messages.Started(pid=self.state.record["pid"], started_at=now)
        self.tell(messages.EVENT_START, started.to_dict())

    def pause(self) -> None:
        """Freeze the container."""
        if self.status == "paused":
            raise NotModified("the container is paused")
        if self.status != "running":
            raise FailedPrecondition(f"the container is {self.status}", step="pause")
        self.runtime.pause()
        self.state.set(status="paused")

    def resume(self) -> None:
        """Thaw it."""
        if self.status != "paused":
            raise FailedPrecondition(f"the container is {self.status}, not paused", step="resume")
        self.runtime.resume()
        self.state.set(status="running")

    def kill(self, signal: int, *, all: bool = False) -> None:
        """Signal init or all; what is frozen and gets SIGKILL is thawed to die."""
        if self.status == "exited":
            raise NotFound("the container has ended", step="kill")
        self.runtime.kill(signal, all=all)
        if signal == 9 and self.status == "paused":
            self._thaw_to_die()

    def _thaw_to_die(self) -> None:
        try:
            self.runtime.resume()
        except CortenError:
            pass  # some runtimes thaw what they kill
        self.state.set(status="running")

    def delete(self, peer: Peer, request: Request, *, force: bool) -> None:
        """Kill what runs; the reply follows when all is cleaned."""
        if self.status in ("running", "paused") and not force:
            raise FailedPrecondition(
                f"the container is {self.status}", step="delete", hint="stop it first"
            )
        self.deleting.append((peer, request))
        if self.status != "exited":
            self._kill_quietly()
        self._end_if_over()

    def _told_to_end(self) -> None:
        """SIGTERM: the machine goes down. The container is stopped as its daemon would do it;
        who is told a second time changes nothing."""
        if self._going_down or self.status in ("creating", "exited"):
            return
        self._going_down = True
        if self.status == "created":
            self._kill_quietly()
            return
        if self.status == "paused":
            self._thaw_to_die()
        self._kill_quietly(int(self.request.stop_signal or _SIGTERM), all=False)
        if self.request.stop_timeout >= 0:
            self.loop.after(self.request.stop_timeout, self._kill_quietly)

    def _kill_quietly(self, signal: int = 9, *, all: bool = True) -> None:
        try:
            self.kill(signal, all=all)
        except CortenError:
            pass  # it has ended, which is what was wanted

    # --- the end -----------------------------------------------------------------------

    def _ended(self) -> None:
        assert self._process is not None and self.stdio is not None
        code, signal = self._process.reap() or (255, 0)
        if self._failure is not None:
            code, signal = failure_code(self._failure), 0
        oom = self.runtime.events().get("oom", 0) > 0
        self.state.set(
            status="exited",
            exit_code=code,
            signal=signal,
            oom_killed=oom,
            reason="oom" if oom and signal == 9 else "shutdown" if self._going_down else "",
            error=self._failure.to_dict() if self._failure is not None else None,
            finished_at=time_ns(),
            log_dropped=self.log.dropped if self.log is not None else 0,
        )
        self._relay.close()
        self.runtime.init_ended()
        self.stdio.drained = self._output_drained
        self.stdio.process_ended(self.request.drain)

    def _output_drained(self) -> None:
        record = self.state.record
        exit = messages.Exit(
            code=record["exit_code"],
            signal=record["signal"],
            oom_killed=record["oom_killed"],
            finished_at=record["finished_at"],
            error=record["error"],
            reason=record["reason"],
        )
        self.tell(messages.EVENT_EXIT, exit.to_dict())
        if self._process is not None:
            self._process.close()
        self._unwatch_events()
        self._delete_runtime()
        self.state.set(cleaned=True, log_dropped=self.log.dropped if self.log is not None else 0)
        self._drained = True
        self.execs.kill()
        self._end_if_over()

    def _delete_runtime(self) -> None:
        self._relay.close()
        try:
            self.runtime.delete()
        except CortenError as error:
            self.state.record["error"] = self.state.record["error"] or error.to_dict()

    def _end_if_over(self) -> None:
        """End once everything is cleaned and everybody was told."""
        if not self._drained or self.execs or not self.loop.running:
            return
        attached = self.stdio is not None and self.stdio.attached
        if attached and not self.deleting:
            self.loop.after(_LINGER, self._end_if_over)
            return
        if not self.deleting and not self.state.settle():
            # Nobody but us knows how it ended, as long as the disk is full.
            self.loop.after(_FULL_DISK, self._end_if_over)
            return
        for peer, request in self.deleting:
            peer.reply(request.id, {})
        self.deleting.clear()
        if any([peer.pending for peer in self.peers]):
            self.loop.after(_LINGER, self._end_if_over)
            return
        self.loop.running = False

    def close(self) -> None:
        """Close what is open; the last thing a monitor does."""
        if self._listener is not None:
            self._listener.close()
        if self.stdio is not None:
            self.stdio.close()
        if self.log is not None:
            self.log.close()
        for peer in list(self.peers):
            peer.close()
        self._children.close()

    # --- others ------------------------------------------------------------------------

    def accept(self, sock: Socket) -> Peer:
        """A new connection."""
        peer = Peer(self.loop, sock, self._handler)
        peer.gone = self.peers.remove
        self.peers.append(peer)
        return peer

    def _accepted(self, sock: Socket) -> None:
        self.accept(sock)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Send an event to every subscriber."""
        for peer in list(self.peers):
            peer.event(event, data)

    def target(self, exec_id: str) -> tuple[Process, Stdio]:
        """The process and streams an operation means: an exec's, or init's."""
        if exec_id:
            return self.execs.find(exec_id)
        if self._process is None or self.stdio is None or self.status == "exited":
            raise NotFound("the container has ended")
        return self._process, self.stdio

    def _watch_events(self) -> None:
        fd = self.runtime.events_fd()
        if fd >= 0:
            self.loop.watch(fd, READ, self._runtime_event)

    def _unwatch_events(self) -> None:
        fd = self.runtime.events_fd()
        if fd >= 0:
            self.loop.forget(fd)

    def _runtime_event(self, _events: int) -> None:
        count = self.runtime.events().get("oom", 0)
        if count and self.status != "exited":
            self.tell(messages.EVENT_OOM, messages.OutOfMemory(count=count).to_dict())


def start_time_of(pid: int) -> int:
    """When a process started, 0 if there is none."""
    try:
        return start_time(pid) if pid else 0
    except OSError:
        return 0
