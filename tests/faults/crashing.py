"""``cortend`` in a program that kills itself (SIGKILL) at a commit of its database.

The first argument is the path of an order: a file that says ``after N`` or ``before N``, N
counted from the moment at which the file is seen. Nothing in the daemon knows of this.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corten.daemon.main import main
from corten.engine import monitors
from corten.store import Database


class Order:
    """What the file says. Its first line is used up, so that the next start does the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._version: tuple[int, int] | None = None

    def reached(self, when: str) -> None:
        """A commit is due (``before``) or done (``after``)."""
        try:
            stat = self._path.stat()
            first, _, rest = self._path.read_text().partition("\n")
        except FileNotFoundError:
            return
        version = (stat.st_ino, stat.st_mtime_ns)
        if version != self._version:
            self._version, self._seen = version, 0
        wanted, _, number = first.partition(" ")
        if wanted != when:
            return
        self._seen += 1
        if self._seen == int(number):
            self._path.write_text(rest)
            os.kill(os.getpid(), signal.SIGKILL)


def install(order: Order) -> None:
    """Every write of the database asks the order."""
    begin, write_blocking = Database.begin, Database.write_blocking

    def crashing(
        self: Database,
        fn: Callable[[Any], Any],
        *,
        durable: bool = True,
        on_commit: Callable[[Any], None] | None = None,
    ) -> Any:
        def committed(value: Any) -> None:
            order.reached("after")
            if on_commit is not None:
                on_commit(value)

        order.reached("before")
        return begin(self, fn, durable=durable, on_commit=committed)

    def crashing_blocking(self: Database, fn: Callable[[Any], Any], *, durable: bool = True) -> Any:
        order.reached("before")
        value = write_blocking(self, fn, durable=durable)
        order.reached("after")
        return value

    Database.begin = crashing  # type: ignore[method-assign] # the fault that is tested
    Database.write_blocking = crashing_blocking  # type: ignore[method-assign] # the same


if __name__ == "__main__":
    # Nobody wants to wait for the real one in a test.
    monitors._ANSWER = float(os.environ.get("CRASHING_PATIENCE", monitors._ANSWER))
    install(Order(Path(sys.argv.pop(1))))
    main()
