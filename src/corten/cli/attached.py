"""An attached container or exec: the thin client copies, this side answers for the rest.

It waits at once for the daemon (how it ended) and for the thin client (signals, window
sizes, the stream's end, detach keys). The stream does not pass the daemon, so a daemon that
dies meanwhile is waited for, and asked again how the process ended.
"""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from corten.cli import wire
from corten.cli.console import Interrupted
from corten.cli.session import Session
from corten.client import Connection, ConnectionLost
from corten.errors import CortenError, NotFound, Unavailable

_RETRY = 200  # milliseconds between attempts to reach a daemon that went away
_PATIENCE = 30.0  # seconds that it may be away after the stream has ended


class Stream(NamedTuple):
    """How a stream is to be copied."""

    fd: int
    tty: bool
    stdin: bool
    proxy: bool
    keys: bytes


class Target(ABC):
    """The process behind a stream, by what the daemon is asked about it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @abstractmethod
    def resize(self, connection: Connection, rows: int, cols: int) -> None:
        """The terminal's new size."""

    @abstractmethod
    def signal(self, connection: Connection, number: int) -> None:
        """A signal of the user's, to be passed on."""

    @abstractmethod
    def wait_again(self, connection: Connection) -> int:
        """Begin the request whose answer is the process's end."""

    @abstractmethod
    def code(self, answer: Any) -> int:
        """The exit code in that answer."""

    def past_code(self, connection: Connection) -> int:
        """The exit code of a process whose record is gone. Raises NotFound."""
        raise NotFound("it is gone and nothing tells how it ended")


class ContainerTarget(Target):
    """A container; ``removed``: it is waited for until it is removed, too."""

    def __init__(self, session: Session, container_id: str, *, removed: bool) -> None:
        super().__init__(session)
        self.id = container_id
        self._condition = "removed" if removed else "not-running"
        self._begun = time.time_ns()

    def _arguments(self) -> dict[str, Any]:
        return {"tenant": self._session.tenant, "ref": self.id}

    def resize(self, connection: Connection, rows: int, cols: int) -> None:
        connection.call("resize_container", rows=rows, cols=cols, **self._arguments())

    def signal(self, connection: Connection, number: int) -> None:
        connection.call("kill_container", signal=str(number), **self._arguments())

    def wait_again(self, connection: Connection) -> int:
        return connection.begin("wait_container", condition=self._condition, **self._arguments())

    def code(self, answer: Any) -> int:
        return int(answer["code"])

    def past_code(self, connection: Connection) -> int:
        """From the event of its end: with ``--rm`` the record may be gone before we ask."""
        for answer in connection.stream(
            "events", tenant=self._session.tenant, since=self._begun, until=time.time_ns()
        ):
            event = answer.value
            if event and event.get("id") == self.id and event.get("action") == "die":
                return int(event["attributes"]["exitCode"])
        return super().past_code(connection)


class ExecTarget(Target):
    def __init__(self, session: Session, exec_id: str) -> None:
        super().__init__(session)
        self.id = exec_id

    def _arguments(self) -> dict[str, Any]:
        return {"tenant": self._session.tenant, "exec_id": self.id}

    def resize(self, connection: Connection, rows: int, cols: int) -> None:
        connection.call("resize_exec", rows=rows, cols=cols, **self._arguments())

    def signal(self, connection: Connection, number: int) -> None:
        """Docker forwards none to an exec."""

    def wait_again(self, connection: Connection) -> int:
        return connection.begin("wait_exec", **self._arguments())

    def code(self, answer: Any) -> int:
        return int(answer)


class Attached:
    """Follows one attached process to its end.

    Arguments:
        number: the open request whose reply tells how it ended.
        on_item: called with the request's items.
    """

    def __init__(
        self,
        session: Session,
        target: Target,
        stream: Stream,
        number: int,
        on_item: Callable[[Any], object] = lambda _item: None,
    ) -> None:
        self._session = session
        self._console = session.console
        self._target = target
        self._stream = stream
        self._number = number
        self._on_item = on_item
        self._connection: Connection | None = session.connection
        self._code: int | None = None
        self._done = b""
        self._asked_again = False
        self._away_since = 0.0
        self._signals: list[int] = []  # not passed on yet: the daemon is away

    def follow(self) -> int | None:
        """The exit code; None: the user detached.

        Raises:
            CortenError: what the daemon answered; the terminal is in order again.
            Interrupted: a signal that is not forwarded.
        """
        stream = self._stream
        self._console.attach(
            stream.fd, tty=stream.tty, stdin=stream.stdin, proxy=stream.proxy, keys=stream.keys
        )
        try:
            while self._done != b"d" and not (self._done and self._code is not None):
                self._turn()
        finally:
            if self._done:
                self._console.returned()
            else:
                self._console.release()
        return None if self._done == b"d" else self._code

    def _turn(self) -> None:
        self._answers()
        if self._done and self._code is not None:
            return
        poll = select.poll()
        poll.register(self._console.fileno(), select.POLLIN)
        if self._connection is not None:
            poll.register(self._connection.fileno(), select.POLLIN)
        ready = dict(poll.poll(_RETRY if self._connection is None else None))
        # The daemon first: a message of the client's may ask it something, and the answer
        # would be read together with what made it readable.
        if self._connection is None:
            self._reconnect()
        elif self._connection.fileno() in ready:
            self._guard(self._connection.pump)
        if self._console.fileno() in ready:
            for kind, payload in self._console.messages():
                self._message(kind, payload)

    def _answers(self) -> None:
        connection = self._connection
        while connection is not None and self._code is None:
            try:
                answer = connection.ready(self._number)
            except ConnectionLost:
                return self._lost()
            except NotFound:
                if not self._asked_again:
                    raise
                self._code = self._target.past_code(connection)
                return None
            if answer is None:
                return None
            if answer.final:
                self._code = self._target.code(answer.value)
            else:
                self._on_item(answer.value)
        return None

    def _message(self, kind: bytes, payload: bytes) -> None:
        if kind == wire.DONE:
            self._done = payload
            self._away_since = time.monotonic()
        elif kind == wire.SIGNAL:
            if not self._stream.proxy:
                raise Interrupted(payload[0])
            self._signals.append(payload[0])
            self._pass_on()
        elif kind == wire.RESIZE and self._stream.tty:
            rows = int.from_bytes(payload[:2], "big")
            cols = int.from_bytes(payload[2:4], "big")
            self._ask(lambda c: self._target.resize(c, rows, cols))

    def _pass_on(self) -> None:
        """The user's signals, in order; one whose answer the daemon's death took is sent again."""
        while self._signals and self._connection is not None:
            self._ask(lambda c: self._target.signal(c, self._signals[0]))
            if self._connection is not None:
                del self._signals[0]

    def _ask(self, request: Callable[[Connection], None]) -> None:
        """Something that may come too late: the process has just ended."""
        connection = self._connection
        if connection is None:
            return
        try:
            self._guard(lambda: request(connection))
        except CortenError:
            return

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ConnectionLost:
            self._lost()

    def _lost(self) -> None:
        self._connection = None
        self._asked_again = True
        self._away_since = time.monotonic()

    def _reconnect(self) -> None:
        try:
            self._connection = self._session.reconnect()
            self._number = self._target.wait_again(self._connection)
            self._pass_on()
        except Unavailable:
            self._connection = None
            if self._done and time.monotonic() - self._away_since > _PATIENCE:
                raise
