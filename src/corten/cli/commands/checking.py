"""``corten system check``: what this machine offers; works without a daemon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import click

from corten.cli import autostart, table
from corten.cli.clickext import Command
from corten.errors import Internal, InvalidArgument
from corten.spec import jsonlite

_ROOT = "/var/lib/corten"
_DEADLINE = 120.0  # seconds
_TABLE = "table {{.Area}}\t{{.Name}}\t{{.Status}}\t{{.Need}}\t{{.Found}}"
_HEADERS = {
    "Area": "AREA", "Name": "NAME", "Status": "STATUS", "Need": "NEED", "Found": "FOUND",
    "Without": "WITHOUT IT", "Remedy": "REMEDY",
}  # fmt: skip
_MARKS = {"ok": "ok", "missing": "missing", "unknown": "?"}


@click.command(
    "check", cls=Command,
    examples=(
        "corten system check",
        "corten system check --all",
        "corten system check --format json",
        "corten system check --format 'table {{.Name}}\\t{{.Status}}\\t{{.Remedy}}'",
    ),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="What is there, too.")
@click.option("--root", metavar="DIRECTORY", help="The daemon's data root.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
def check(everything: bool, root: str | None, layout: str) -> int:
    """What this machine offers, what is missing, and what to do.

    Needs no daemon. The exit code is 1 if something is missing that containers need; what is
    nice to have does not count.
    """
    report = run(root or os.environ.get("CORTEN_ROOT", _ROOT))
    if layout == "json":
        print(jsonlite.dumps(report))
    elif layout:
        print(table.listing(report["Findings"], layout, _TABLE, _HEADERS), end="")
    else:
        print(text(report, everything=everything), end="")
    return 0 if report["Ok"] else 1


def run(root: str) -> dict[str, Any]:
    """The report of the program that looks (``corten.daemon.checks``), made by the caller's
    rights. Raises Internal."""
    statement = f"from corten.daemon.checks.report import main; main({root!r})"
    try:
        done = subprocess.run(
            autostart.program(statement), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_DEADLINE, check=False, cwd="/",
        )  # fmt: skip
        report: dict[str, Any] = jsonlite.loads(done.stdout.decode())
    except subprocess.TimeoutExpired:
        raise Internal(f"no answer within {_DEADLINE:.0f} s", step="system check") from None
    except (ValueError, InvalidArgument):
        last = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise Internal(last[-1], step="system check") from None
    return report


def text(report: dict[str, Any], *, everything: bool) -> str:
    """For people: one line each, and below what is missing the consequence and the remedy."""
    lines: list[str] = []
    area = ""
    for one in report["Findings"]:
        if one["Status"] == "ok" and not everything:
            continue
        if one["Area"] != area:
            area = one["Area"]
            lines.append(area)
        lines += _finding(one)
    return "\n".join([*lines, *_sum(report), ""])


def _finding(one: dict[str, Any]) -> Sequence[str]:
    need = " (needed)" if one["Need"] == "needed" and one["Status"] != "ok" else ""
    found = f": {one['Found']}" if one["Found"] else ""
    lines = [f"  {_MARKS[one['Status']]:<8} {one['Name']}{need}{found}"]
    if one["Status"] == "missing":
        lines += [
            f"           {label}: {one[key]}"
            for label, key in (("without it", "Without"), ("to do", "Remedy"))
            if one[key]
        ]
    return lines


def _sum(report: dict[str, Any]) -> Sequence[str]:
    there = sum(one["Status"] == "ok" for one in report["Findings"])
    missing, nice = report["Missing"], report["Nice"]
    said = [f"{there} of {len(report['Findings'])} are there"]
    if nice:
        said.append(f"{nice} that {_are(nice)} nice to have {_are(nice)} missing")
    if report["Unknown"]:
        said.append(f"{report['Unknown']} could not be asked: run it as root")
    if missing:
        said.append(f"{missing} that {_are(missing)} needed {_are(missing)} missing")
    else:
        said.append("nothing that is needed is missing")
    return ["; ".join(said)]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


COMMANDS: list[click.Command] = [check]
