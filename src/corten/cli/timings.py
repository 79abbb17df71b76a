"""The table of how long each step of a start took."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

# The engine's own steps; those that the monitor measured lie within the one before them.
_OUTER = ("record", "prepare", "network", "create", "start")


def print_timings(container: dict[str, Any], *, total: float | None = None) -> None:
    """To standard error.

    Arguments:
        container: the record after the start.
        total: seconds of the whole command.
    """
    steps = container.get("steps", ())
    outer = [step for step in steps if step["step"] in _OUTER]
    table = Table(title=f"start of {container['name']}", title_justify="left")
    table.add_column("step")
    table.add_column("ms", justify="right")
    for step in steps:
        indent = "" if step in outer else "  "
        table.add_row(indent + step["step"], f"{step['microseconds'] / 1000:.2f}")
    if total is not None:
        table.add_section()
        table.add_row("the whole command", f"{total * 1000:.2f}")
    Console(file=sys.stderr).print(table)
