"""What the view shows, and what keys do to it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Kind = Literal["quit", "stop", "logs", "exec", "list", "redraw"]


class Row(NamedTuple):
    """One container.

    Fields:
        cpu: per cent of one processor.
        memory, limit, received, sent, read, written: bytes.
    """

    id: str
    name: str
    image: str
    status: str
    running: bool
    cpu: float = 0.0
    memory: int = 0
    limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    pids: int = 0


class Order(NamedTuple):
    """What the keys ask the rest of the program to do."""

    kind: Kind
    row: Row | None = None


# By key: the column's name, and what it sorts by. Numbers: the largest first.
SORTS: Final = {
    "c": ("CPU", lambda row: -row.cpu),
    "m": ("memory", lambda row: -row.memory),
    "n": ("name", lambda row: row.name),
    "p": ("processes", lambda row: -row.pids),
    "i": ("network", lambda row: -(row.received + row.sent)),
    "d": ("disk", lambda row: -(row.read + row.written)),
}
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -10, "page down": 10}


class Model:
    """The state of the view.

    Attributes:
        everything: containers that do not run are shown, too.
        message: told in the last line until the next key.
        asking: the container whose stop waits for an answer.
        lines: of the log that is shown; None: the list is.
    """

    def __init__(self) -> None:
        self.sort = "c"
        self.reverse = False
        self.everything = False
        self.help = False
        self.message = ""
        self.asking: Row | None = None
        self.lines: list[str] | None = None
        self.of = ""  # whose log
        self._rows: list[Row] = []
        self._chosen = ""

    def take(self, rows: Sequence[Row]) -> None:
        """A new look at what runs; the chosen one stays chosen."""
        self._rows = list(rows)
        self._keep()

    @property
    def rows(self) -> list[Row]:
        """As shown: sorted, without those that are not wanted."""
        shown = [row for row in self._rows if self.everything or row.running]
        by = SORTS[self.sort][1]
        shown.sort(key=lambda row: row.name)
        return sorted(shown, key=by, reverse=self.reverse)

    @property
    def chosen(self) -> Row | None:
        """The row that keys are about."""
        return next((row for row in self.rows if row.id == self._chosen), None)

    def _keep(self) -> None:
        rows = self.rows
        if rows and self.chosen is None:
            self._chosen = rows[0].id

    def move(self, step: int) -> None:
        """Choose another row."""
        rows = self.rows
        places = [i for i, row in enumerate(rows) if row.id == self._chosen]
        if rows:
            place = min(max((places[0] if places else 0) + step, 0), len(rows) - 1)
            self._chosen = rows[place].id

    # keys --------------------------------------------------------------------------------

    def press(self, key: str) -> Order | None:
        """What a key changes here, and what it asks of others."""
        self.message = ""
        if key == "ctrl-c":
            return Order("quit")
        if key == "ctrl-l":
            return Order("redraw")
        if self.asking is not None:
            return self._answer(key)
        if self.help:
            self.help = False
            return None
        if self.lines is not None:
            return self._in_log(key)
        return self._in_list(key)

    def _answer(self, key: str) -> Order | None:
        row, self.asking = self.asking, None
        if key in ("y", "Y"):
            return Order("stop", row)
        self.message = "not stopped"
        return None

    def _in_log(self, key: str) -> Order | None:
        if key in ("q", "escape", "l", "back"):
            self.lines = None
            return Order("list")
        return None

    def _in_list(self, key: str) -> Order | None:
        if key in ("q", "escape"):
            return Order("quit")
        if key in _MOVES:
            self.move(_MOVES[key])
        elif key in ("home", "end"):
            self.move(-len(self._rows) if key == "home" else len(self._rows))
        elif key in SORTS:
            self.reverse = not self.reverse if key == self.sort else False
            self.sort = key
        elif key == "a":
            self.everything = not self.everything
            self._keep()
        elif key in ("?", "h"):
            self.help = True
        else:
            return self._about_chosen(key)
        return None

    def _about_chosen(self, key: str) -> Order | None:
        row = self.chosen
        if row is None:
            return None
        if key in ("l", "enter"):
            self.lines, self.of = [], row.name
            return Order("logs", row)
        if key in ("s", "e") and not row.running:
            self.message = f"{row.name} does not run"
        elif key == "s":
            self.asking = row
        elif key == "e":
            return Order("exec", row)
        return None
