"""The view as lines of a screen. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from corten.cli import human
from corten.cli.live.cells import fit
from corten.cli.live.model import SORTS, Model, Row

_REVERSE, _BOLD, _PLAIN = "\x1b[7m", "\x1b[1m", "\x1b[0m"
_KEYS = "q quit  ↑↓ choose  c m n p i d sort  s stop  l logs  e exec  a all  ? help"
_HELP = (
    "Keys",
    "",
    "  ↑ ↓ j k        choose a container; page up and down, home, end as well",
    "  c m n p i d    sort by CPU, memory, name, processes, network, disk; again: the other way",
    "  a              show those that do not run, too",
    "  s              stop the chosen one (asks)",
    "  l, enter       its log, as it grows; q goes back",
    "  e              a shell in it; its end leads back here",
    "  q, escape, ^C  quit",
)
# Title, width; the name takes what is left.
_COLUMNS = (
    ("CPU %", 7), ("MEMORY", 10), ("MEM %", 6), ("NET IN", 8), ("NET OUT", 8), ("READ", 8),
    ("WRITTEN", 8), ("PIDS", 5),
)  # fmt: skip
_LEAST_NAME = 12
_STATUS = 24


def frame(model: Model, width: int, height: int, machine: str) -> list[str]:
    """As many lines as the screen has, none wider than it.

    Arguments:
        machine: the first line's text.
    """
    if height < 1 or width < 1:
        return []
    if model.help:
        body = list(_HELP)
    elif model.lines is not None:
        body = [f"{_BOLD}{clip(f'log of {model.of}  (q: back)', width)}{_PLAIN}"]
        body += [clip(line, width) for line in model.lines[-max(1, height - 2) :]]
    else:
        body = _table(model, width, height, machine)
    lines = [line if line.startswith("\x1b") else clip(line, width) for line in body]
    lines = lines[: max(0, height - 1)]
    lines += [""] * (height - 1 - len(lines))
    return [*lines, clip(_last(model), width)]


def clip(text: str, width: int) -> str:
    """Without control characters, and no wider than ``width`` cells."""
    shown = "".join(c if c.isprintable() else " " for c in text.expandtabs())
    return fit(shown, width).rstrip()


def _last(model: Model) -> str:
    if model.asking is not None:
        return f"stop {model.asking.name}? y/n"
    if model.help:
        return "any key goes back"
    return model.message or _KEYS


def _table(model: Model, width: int, height: int, machine: str) -> list[str]:
    rows = model.rows
    running = sum(row.running for row in rows)
    used = sum(row.cpu for row in rows)
    order = SORTS[model.sort][0] + (", reversed" if model.reverse else "")
    head = f"{running} running, CPU {used:.1f}%, by {order}; {machine}"
    columns = _fitting(width)
    lines = [clip(head, width), f"{_BOLD}{clip(_line(columns, _titles(), width), width)}{_PLAIN}"]
    room = max(1, height - 3)
    place = next((i for i, row in enumerate(rows) if row == model.chosen), 0)
    first = max(0, min(place - room // 2, len(rows) - room))
    for row in rows[first : first + room]:
        text = clip(_line(columns, _cells(row), width), width)
        if row == model.chosen:
            text = f"{_REVERSE}{fit(text, width)}{_PLAIN}"
        lines.append(text)
    if not rows:
        lines.append("  nothing runs; a: all containers")
    return lines


def _fitting(width: int) -> int:
    """How many of the columns have room beside the name."""
    left, count = width - _LEAST_NAME, 0
    for _, one in _COLUMNS:
        left -= one + 1
        if left < 0:
            break
        count += 1
    return count


def _titles() -> tuple[str, str, Sequence[str]]:
    return "NAME", "STATUS", [title for title, _ in _COLUMNS]


def _cells(row: Row) -> tuple[str, str, Sequence[str]]:
    share = 100 * row.memory / row.limit if row.limit else 0.0
    values = [
        f"{row.cpu:.1f}", human.binary_size(row.memory), f"{share:.1f}",
        human.size(row.received), human.size(row.sent), human.size(row.read),
        human.size(row.written), str(row.pids),
    ]  # fmt: skip
    if not row.running:
        values = ["-"] * len(values)
    return row.name, row.status, values


def _line(columns: int, cells: tuple[str, str, Sequence[str]], width: int) -> str:
    name, status, values = cells
    numbers = "".join(
        " " + value.rjust(one)
        for value, (_, one) in zip(values[:columns], _COLUMNS[:columns], strict=True)
    )
    room = max(1, width - len(numbers))
    if columns == len(_COLUMNS) and room >= _LEAST_NAME + _STATUS + 1:
        room -= _STATUS + 1
        return fit(name, room) + numbers + " " + fit(status, _STATUS)
    return fit(name, room) + numbers
