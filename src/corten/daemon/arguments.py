"""The command line of ``cortend``; also read by what writes its manual."""

from __future__ import annotations

import argparse
import os

import corten
from corten.daemon import places


def parser() -> argparse.ArgumentParser:
    """What ``cortend`` takes."""
    made = argparse.ArgumentParser(prog="cortend", description="Corten's daemon")
    made.add_argument("--root", default=places.DEFAULT_ROOT, help="durable data")
    made.add_argument("--state", default=places.DEFAULT_STATE, help="sockets and run state")
    made.add_argument("--config", default=places.DEFAULT_CONFIG, help="config.toml")
    made.add_argument("--debug", action="store_true", help="log at level debug")
    made.add_argument(
        "--shutdown", action="store_true", help="remove all containers and pods, end the daemon"
    )
    made.add_argument(
        "--restart",
        action="store_true",
        help="restart the daemon that serves --state, as after an upgrade; containers go on",
    )
    made.add_argument("--purge", action="store_true", help="with --shutdown: all data as well")
    made.add_argument(
        "--version", action="version", version=f"cortend {corten.__version__}",
        help="print the version",
    )  # fmt: skip
    return made


def parse(argv: list[str]) -> argparse.Namespace:
    """The options, with absolute directories; ends the program where they are wrong."""
    made = parser()
    options = made.parse_args(argv)
    if options.purge and not options.shutdown:
        made.error("--purge goes with --shutdown")
    options.root = os.path.abspath(options.root)
    options.state = os.path.abspath(options.state)
    return options
