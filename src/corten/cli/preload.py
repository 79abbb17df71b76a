"""What the warm program does before its first fork: everything that is imported late.

After it nothing can be imported. Modules that libraries import inside functions are named
here; then every command prints its help, a table and a progress bar are drawn, a date is
parsed, so that caches are filled too.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import time
import traceback
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from corten.cli import options, parse, table
from corten.cli.pulling import Bars
from corten.spec import jsonlite

# Imported inside functions of click, rich, subprocess, traceback, and of our own.
LATE = (
    "click._termui_impl", "click._textwrap", "click.shell_completion",
    "rich._cell_widths", "rich._unicode_data", "rich.ansi", "rich.cells", "rich.live",
    "rich.live_render", "rich.markup", "rich.palette", "rich.panel", "rich.pretty",
    "rich.progress", "rich.prompt", "rich.scope", "rich.screen", "rich.table", "rich.traceback",
    "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8_sig",
    "datetime", "_strptime", "fnmatch", "linecache", "tokenize", "tracemalloc", "difflib",
    "stringprep", "unicodedata", "locale", "pwd", "grp", "getpass", "textwrap", "shutil",
    "selectors", "signal", "tempfile", "uuid", "zoneinfo",
)  # fmt: skip


def everything(root: click.Group) -> None:
    """Import and exercise; raises what a broken installation raises."""
    _commands.update(root.commands)
    for name in LATE:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    _helps(root, click.Context(root, info_name="corten"))
    table.render_each([{"a": 1}], "{{json .}}")
    parse.moment("2026-01-01T00:00:00.5Z")
    time.localtime()
    _draw()
    _traceback()


def touch() -> None:
    """In a spare worker: use what every command uses, so that the pages are its own before
    its client comes."""
    word = "corten"
    ctx = _commands["run"].make_context(word, ["--rm", "-it", "-e", "A=b", "image", "true"])
    config = options.container_config("image", ("true",), ctx.params)
    jsonlite.loads(jsonlite.dumpb({"op": "run", "config": config}))
    table.listing([{"ID": word}], "", "table {{.ID}}", {"ID": "ID"})


_commands: dict[str, click.Command] = {}


def _helps(command: click.Command, ctx: click.Context) -> None:
    command.get_help(ctx)
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            _helps(sub, click.Context(sub, info_name=name, parent=ctx))


def _draw() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Screen()
    rows = Table(title="a")
    rows.add_column("é")
    rows.add_row("ß")
    Console(file=out).print(rows)
    bars = Bars(out)
    item: dict[str, Any] = {"id": "a", "status": "Downloading", "current": 1, "total": 2}
    bars.update(item)
    bars.update({"id": "a", "status": "Pull complete"})
    bars.update({"id": "", "status": "Status"})
    bars.close()


def _traceback() -> None:
    try:
        raise ValueError
    except ValueError:
        traceback.format_exc()
