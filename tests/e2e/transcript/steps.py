"""What a transcript is made of: cases of docker commands, and the records they leave.

Texts may contain ``{box}`` and ``{entry}`` (the two images), ``{dir}`` (an empty directory of
the case's own on the host) and ``{began}`` (when the case began, as a Unix time).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One docker command without a terminal.

    Arguments:
        line: the arguments, as a shell would split them.
        stdin: what it reads; ``None`` for /dev/null.
        says: words that the error output must contain; it is then not compared as a text,
            because errors of two implementations are worded differently.
        quiet: standard output is not compared.
        env: variables of the command line's own environment.
        signal: sent to the command line as soon as it has printed ``ready``.
        ready: see ``signal``.
        instead: the exit code that Corten is to have where it differs from the recorded one on
            purpose; the script says why.
    """

    line: str
    stdin: bytes | None = None
    says: tuple[str, ...] = ()
    quiet: bool = False
    env: dict[str, str] = field(default_factory=dict)
    signal: str = ""
    ready: str = ""
    instead: int | None = None


@dataclass(frozen=True)
class Terminal:
    """One docker command on a terminal of 24 rows and 80 columns.

    Arguments:
        acts: in order: ``("expect", text)`` waits for output, ``("send", keys)`` types,
            ``("resize", "rows cols")``, after which the command must end.
        keep: whether the output is compared (echo and output may interleave otherwise).
    """

    line: str
    acts: tuple[tuple[str, str], ...] = ()
    keep: bool = True


@dataclass(frozen=True)
class Until:
    """Repeat a docker command until it prints ``text``; leaves no record."""

    line: str
    text: str


@dataclass(frozen=True)
class Case:
    """Commands in order. Containers must be named ``t-…``: they are removed afterwards."""

    name: str
    steps: tuple[Run | Terminal | Until, ...]


Record = dict[str, Any]  # {"line", "exit", "stdout", "stderr"} or {"line", "exit", "screen"}
