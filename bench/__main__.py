"""``python -m bench [--samples N] [GROUP…]``: measure beside the peers."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bench import namespaces

GROUPS = (
    "imports", "runtimes", "oci", "commands", "pods", "memory",
    "release", "traffic", "logs", "checks", "scale",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--samples", type=int, default=15)
    parser.add_argument("--keep", action="store_true", help="keep the daemons' logs")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    args = parser.parse_args()
    if unknown := set(args.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if args.samples < 5:
        parser.error("a row needs 5 samples or more")
    return args


def measure(args: argparse.Namespace) -> None:
    from bench import (
        checks,
        commands,
        logs,
        memory,
        oci,
        pods,
        release,
        report,
        runtimes,
        scale,
        traffic,
    )
    from bench.peers import Peers

    few = max(5, args.samples // 3)
    base = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    peers = Peers(base)
    sources = {
        "imports": lambda: runtimes.import_rows(args.samples),
        "runtimes": lambda: runtimes.rows(peers, args.samples),
        "commands": lambda: commands.rows(peers, args.samples),
        "pods": lambda: pods.rows(peers, args.samples),
        "memory": lambda: memory.rows(peers, few),
        "release": lambda: release.rows(peers, args.samples),
        "oci": lambda: oci.rows(peers, args.samples),
        "traffic": lambda: traffic.rows(peers, few),
        "logs": lambda: logs.rows(peers, few),
        "checks": lambda: checks.rows(peers, few),
        "scale": lambda: scale.rows(peers, few),
    }
    rows = []
    try:
        for group in args.groups or GROUPS:
            for row in sources[group]():
                print(report.table_line(row.plain()), flush=True)
                rows.append(row)
    finally:
        peers.close()
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    report.write_results(rows, merge=bool(args.groups))


def main() -> int:
    args = arguments()
    namespaces.enter()
    namespaces.prepare()
    repository = Path(__file__).resolve().parent.parent
    subprocess.run(
        [
            "/usr/bin/python3", "tools/install.py", "--bindir", ".dev/bin", "develop",
            "--lib", "src", sysconfig.get_path("purelib"),
        ],
        cwd=repository,
        check=True,
    )  # fmt: skip
    sys.path.insert(0, str(repository / "src"))
    measure(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
