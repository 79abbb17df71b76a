"""Lists as docker prints them: aligned columns, or ``--format``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corten.cli import template
from corten.cli.template_eval import render
from corten.spec import jsonlite

_MIN_WIDTH = 10
_GAP = 3


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns of at least ten characters, three blanks between them, as Go's tabwriter does
    for docker; the last column is not padded."""
    if not rows:
        return ""
    count = max(len(row) for row in rows)
    widths = [
        max(_MIN_WIDTH, max(len(row[column]) for row in rows if len(row) > column) + _GAP)
        for column in range(count)
    ]
    lines = []
    for row in rows:
        cells = [cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])]
        lines.append("".join(cells) + row[-1])
    return "\n".join(lines) + "\n"


def listing(
    entries: Sequence[Mapping[str, Any]], layout: str, default: str, headers: Mapping[str, str]
) -> str:
    """What a command that lists prints.

    Arguments:
        entries: one dictionary per line, the keys are the template's fields.
        layout: the value of ``--format``; empty or ``table``: ``default``.
        default: a ``table …`` template.
        headers: column titles by field.
    """
    if layout == "json":
        return "".join(jsonlite.dumps(dict(entry)) + "\n" for entry in entries)
    if not layout or layout == "table":
        layout = default
    is_table = layout.startswith("table ")
    source = template.unescape_format(layout.removeprefix("table ").lstrip())
    nodes = template.parse(source)
    lines = [render(nodes, entry) for entry in entries]
    if not is_table:
        return "".join(line + "\n" for line in lines)
    title = render(nodes, _Headers(headers))
    return align([line.split("\t") for line in (title, *lines)])


class _Headers(dict[str, str]):
    """Answers every field with its title; unknown ones with their name."""

    def __missing__(self, key: str) -> str:
        return key.upper()

    def __contains__(self, key: object) -> bool:
        return True


def render_each(values: Sequence[Any], layout: str) -> str:
    """``inspect``: a JSON array, or one line per object with ``--format``."""
    if not layout or layout == "json":
        text = jsonlite.pretty(list(values), "    ") if not layout else jsonlite.dumps(list(values))
        return text + "\n"
    nodes = template.parse(template.unescape_format(layout))
    return "".join(render(nodes, value) + "\n" for value in values)
