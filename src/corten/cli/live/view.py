"""The view: looks, draws, obeys keys, until it is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from corten.cli.live import drawing, sampling
from corten.cli.live.model import Model, Order, Row
from corten.cli.live.screen import Screen
from corten.cli.session import Session
from corten.client import Connection, ConnectionLost
from corten.errors import CortenError, FailedPrecondition, Unavailable

_SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")
Shell = Callable[[Session, str, tuple[str, ...]], int]


class View:
    """One run of ``corten top``.

    Arguments:
        interval: seconds between two looks.
        shell: runs a program in a container with the terminal; its exit code.
    """

    def __init__(self, session: Session, interval: float, shell: Shell) -> None:
        self._session = session
        self._interval = interval
        self._shell = shell
        self._model = Model()
        self._sampler = sampling.Sampler()
        self._screen = Screen(session.console)
        self._logged: Row | None = None
        self._stops: dict[Connection, tuple[int, str]] = {}  # request, name
        self._machine = ""

    def run(self) -> None:
        """Until the user leaves. Raises Interrupted, and what the daemon says at the start."""
        self._look()
        try:
            with self._screen:
                self._loop()
        finally:
            for connection in self._stops:
                connection.close()  # what was begun goes on

    def _loop(self) -> None:
        due = time.monotonic() + self._interval
        while True:
            self._draw()
            others = [connection.fileno() for connection in self._stops]
            for event in self._screen.wait(due - time.monotonic(), others):
                if event.ready:
                    self._answered(event.ready[0])
                order = self._model.press(event.key) if event.key else None
                if order is not None and order.kind == "quit":
                    return
                if order is not None:
                    self._obey(order)
            if time.monotonic() >= due:
                self._look_again()
                due = time.monotonic() + self._interval

    # looking and drawing -----------------------------------------------------------------

    def _look(self) -> None:
        client = self._session.client
        facts = client.info()
        self._machine = f"{facts['hostname']}, {facts['cpus']} processors"
        self._model.take(self._sampler.look(client))

    def _look_again(self) -> None:
        """A daemon that is away for a moment does not end the view."""
        try:
            if self._logged is None:
                self._model.take(self._sampler.look(self._session.client))
            else:
                lines = self._screen.height
                found = sampling.log_lines(self._session.client, self._logged.id, lines)
                self._model.lines = found
        except (ConnectionLost, Unavailable):
            self._model.message = "the daemon does not answer; containers go on, trying again"
            self._reconnect()
        except CortenError as error:
            self._model.message = str(error)
            self._model.lines = self._logged = None

    def _reconnect(self) -> None:
        try:
            self._session.reconnect()
        except CortenError:
            return

    def _draw(self) -> None:
        screen = self._screen
        screen.draw(drawing.frame(self._model, screen.width, screen.height, self._machine))

    # what keys ask for -------------------------------------------------------------------

    def _obey(self, order: Order) -> None:
        if order.kind == "list":
            self._logged = None
        elif order.row is not None:
            actions = {"stop": self._stop, "logs": self._logs, "exec": self._exec}
            try:
                actions[order.kind](order.row)
            except CortenError as error:
                self._model.message = str(error)

    def _stop(self, row: Row) -> None:
        """On a connection of its own: it may take its time, the view goes on."""
        connection = Connection(self._session.path)
        number = connection.begin("stop_container", tenant=self._session.tenant, ref=row.id)
        self._stops[connection] = (number, row.name)
        self._model.message = f"{row.name} is being stopped"

    def _answered(self, fd: int) -> None:
        connection = next(one for one in self._stops if one.fileno() == fd)
        number, name = self._stops[connection]
        try:
            connection.pump()
            if connection.ready(number) is None:
                return
            self._model.message = f"{name} has been stopped"
        except CortenError as error:
            self._model.message = f"{name}: {error}"
        del self._stops[connection]
        connection.close()
        self._look_again()

    def _logs(self, row: Row) -> None:
        self._logged = row
        self._look_again()

    def _exec(self, row: Row) -> None:
        self._screen.close()
        try:
            code = self._shell(self._session, row.id, _SHELL)
            if code in (126, 127):
                raise FailedPrecondition(f"{row.name} has no shell")
        finally:
            self._screen.open()
        self._model.message = f"the shell in {row.name} has ended"
