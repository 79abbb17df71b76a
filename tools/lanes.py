#!/usr/bin/env python3
"""Run the lanes of CI, each in mount, network and pid namespaces of its own.

A lane is a list of steps; each step is a program. The lane's first process reaps orphans
(a monitor whose launcher was killed becomes its child) and ends everything with itself.
A lane's time budget is printed and fails the run only when it is doubled.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHON = str(REPOSITORY / ".venv/bin/python")
CHAIN = ("contract", "runtime", "api", "cri", "registry", "e2e", "faults")
BUDGETS = {"unit": 3, "chain": 15, "peers": 15, "vm": 10}  # minutes
REPORTS = REPOSITORY / "build/reports"


def pytest(name: str, *args: str) -> list[str]:
    return [
        PYTHON, "-m", "pytest", "-q", f"--junitxml={REPORTS}/{name}.xml",
        f"--basetemp=/tmp/lane-{name}", *args,
    ]  # fmt: skip


def suites() -> list[str]:
    return [f"tests/{name}" for name in CHAIN if (REPOSITORY / "tests" / name).is_dir()]


def steps(lane: str) -> list[tuple[str, list[str], dict[str, str]]]:
    """(name, program, additional environment) of a lane's steps."""
    if lane == "unit":
        return [
            ("ruff format", [PYTHON, "-m", "ruff", "format", "--check", "."], {}),
            ("ruff check", [PYTHON, "-m", "ruff", "check", "."], {}),
            ("mypy", [PYTHON, "-m", "mypy"], {}),
            ("unit", pytest("unit", "tests/unit"), {}),
        ]
    if lane == "chain":
        return [("chain", pytest("chain", *suites()), {})]
    if lane == "peers":
        # The black-box suite proves itself on the runtime that everybody knows.
        runc = {"OCI_RUNTIME": "/usr/sbin/runc"}
        return [
            ("over corten-oci", pytest("peers-over", "tests/peers"), {}),
            ("runtime-runc", pytest("peers-runtime-runc", "tests/runtime"), runc),
        ]
    return [("vm", pytest("vm", "tests/vm"), {})]


# --- inside the lane's namespaces -------------------------------------------------------


def inside(lane: str) -> int:
    """The lane's PID 1."""
    prepare_namespaces()
    worst = 0
    for name, argv, extra in steps(lane):
        print(f"== {lane}: {name}", flush=True)
        status = run_reaping(argv, {**os.environ, **extra})
        # 5: no test was collected; a step without tests has failed.
        if status:
            print(f"== {lane}: {name} failed with {status}", flush=True)
            worst = worst or status
    return worst


def prepare_namespaces() -> None:
    """Loopback, and a sysfs that shows this network namespace, with the host's cgroups in it."""
    fresh = REPOSITORY / "build/sys"
    fresh.mkdir(parents=True, exist_ok=True)
    for argv in (
        ["ip", "link", "set", "lo", "up"],
        ["mount", "-t", "sysfs", "sysfs", str(fresh)],
        ["mount", "--rbind", "/sys/fs/cgroup", f"{fresh}/fs/cgroup"],
        ["mount", "--move", str(fresh), "/sys"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/netns"],
    ):
        if argv[-1] == "/run/netns":
            Path("/run/netns").mkdir(exist_ok=True)
        subprocess.run(argv, check=True)


def run_reaping(argv: list[str], environment: dict[str, str]) -> int:
    # not os.posix_spawn: the C library's leaves one of its own signals ignored in the child
    child = subprocess.Popen(argv, env=environment)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode


# --- outside ----------------------------------------------------------------------------


def run_lane(lane: str) -> bool:
    """Run one lane in its namespaces; whether it passed."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    for old in REPORTS.glob(f"{lane}*.xml"):
        old.unlink()
    began = time.monotonic()
    done = subprocess.run(
        [
            "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
            "--mount-proc", "--propagation", "private",
            sys.executable, str(Path(__file__).resolve()), "--inside", lane,
        ],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    minutes = (time.monotonic() - began) / 60
    budget = BUDGETS[lane]
    passed = done.returncode == 0 and minutes <= 2 * budget
    print(
        f"== lane {lane}: {'passed' if passed else 'FAILED'} in {minutes:.1f} of {budget} minutes",
        flush=True,
    )
    return passed


def totals() -> tuple[int, int, int]:
    """(passed, failed, skipped) over the reports of all lanes."""
    passed = failed = skipped = 0
    for report in REPORTS.glob("*.xml"):
        for suite in ET.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skips = int(suite.get("skipped", 0))
            failed += bad
            skipped += skips
            passed += int(suite.get("tests", 0)) - bad - skips
    return passed, failed, skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", choices=BUDGETS, help=argparse.SUPPRESS)
    parser.add_argument("lanes", nargs="*", default=list(BUDGETS))
    args = parser.parse_args()
    if args.inside:
        return inside(args.inside)
    for old in REPORTS.glob("*.xml"):
        old.unlink()
    results = {lane: run_lane(lane) for lane in args.lanes}
    passed, failed, skipped = totals()
    print("== lanes:", ", ".join(f"{k} {'ok' if v else 'FAILED'}" for k, v in results.items()))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if all(results.values()) and passed else 1


if __name__ == "__main__":
    sys.exit(main())
