"""``bench/results.json`` and the table of ``docs/benchmarks.md`` that is made from it."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from bench.sampling import Row

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "bench/results.json"
DOCUMENT = REPOSITORY / "docs/benchmarks.md"
BEGIN, END = "<!-- table: made by `make bench` -->", "<!-- end of the table -->"


def machine() -> dict[str, object]:
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cgroups": "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
    }


def write_results(rows: list[Row], *, merge: bool) -> None:
    """Write all rows; with ``merge`` keep the rows of another run that this one did not measure."""
    new = [row.plain() for row in rows]
    if merge and RESULTS.exists():
        measured = {(r["name"], r["peer"]) for r in new}
        old = json.loads(RESULTS.read_text())["rows"]
        new = [r for r in old if (r["name"], r["peer"]) not in measured] + new
    document = {"machine": machine(), "rows": new}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    write_table(new)


def write_table(rows: list[dict[str, Any]]) -> None:
    lines = ["| what | peer | ours | theirs | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    lines += [table_line(row) for row in rows]
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    DOCUMENT.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}")


def table_line(row: dict[str, Any]) -> str:
    ours = statistics.median(row["ours"])
    theirs = statistics.median(row["theirs"])
    ratio = ours / theirs if row["better"] == "less" else theirs / ours
    goal = row["goal"]
    verdict = "reached" if ratio <= goal else f"missed by {100 * (ratio / goal - 1):.0f} %"
    return (
        f"| {row['name']} | {row['peer']} | {ours:.1f} {row['unit']} | {theirs:.1f} {row['unit']} "
        f"| {ratio:.2f} | ≤ {goal:g} | {verdict} |"
    )
