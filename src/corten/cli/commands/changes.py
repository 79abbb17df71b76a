"""``rename``, ``update`` and ``stats``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from corten.cli import parse, table, usage
from corten.cli.clickext import Command
from corten.cli.failures import each
from corten.cli.options import CPUS, SIZE, SWAP, limits
from corten.cli.session import Session, pass_session
from corten.errors import InvalidArgument, NotFound

_INTERVAL = 1.0  # seconds
_CLEAR = "\033[2J\033[H"


@click.command("rename", cls=Command, examples=("corten rename web web-old",))
@click.argument("container")
@click.argument("name")
@pass_session
def rename(session: Session, container: str, name: str) -> None:
    """Give a container another name."""
    session.client.containers.get(container).rename(name)


@click.command(
    "update", cls=Command,
    examples=("corten update -m 512m --cpus 1.5 web", "corten update --restart always web db"),
)  # fmt: skip
@click.option("-m", "--memory", type=SIZE, help="Memory limit.")
@click.option("--memory-swap", type=SWAP, help="Memory and swap; -1: unlimited swap.")
@click.option("--memory-reservation", type=SIZE, help="Soft limit of memory.")
@click.option("--cpus", type=CPUS, help="Number of processors, as 1.5.")
@click.option("-c", "--cpu-shares", type=int, help="Relative weight.")
@click.option("--cpu-period", type=int, help="CFS period in microseconds.")
@click.option("--cpu-quota", type=int, help="CFS quota in microseconds.")
@click.option("--cpuset-cpus", default="", help="Processors to use: 0-3, 0,1.")
@click.option("--cpuset-mems", default="", help="Memory nodes to use.")
@click.option("--pids-limit", type=int, help="Most processes; -1: unlimited.")
@click.option("--blkio-weight", type=int, help="Block I/O weight, 10 to 1000.")
@click.option("--restart", default="", help="no, always, unless-stopped, on-failure[:N].")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@pass_session
def update(session: Session, /, containers: tuple[str, ...], restart: str, **o: Any) -> None:
    """Change limits or the restart policy of containers."""
    resources = limits(o)
    policy = parse.restart(restart) if restart else None
    if not resources and policy is None:
        raise InvalidArgument(
            "you must provide one or more flags when using this command", hint="-m 512m"
        )

    def one(ref: str) -> str:
        session.client.containers.get(ref).update(resources=resources or None, restart=policy)
        return ref

    each(containers, one)


@click.command(
    "stats", cls=Command,
    examples=("corten stats", "corten stats --no-stream --format '{{.Name}} {{.MemUsage}}'"),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Once.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@pass_session
def stats(
    session: Session, everything: bool, no_stream: bool, no_trunc: bool, layout: str,
    containers: tuple[str, ...],
) -> None:  # fmt: skip
    """What containers use: processors, memory, network, disks."""
    before = _samples(session, containers, everything)
    while True:
        time.sleep(_INTERVAL)
        now = _samples(session, containers, everything)
        rows = [usage.row(one, before.get(key), full=no_trunc) for key, one in now.items()]
        text = table.listing(rows, layout, usage.TABLE, usage.HEADERS)
        if not no_stream and not layout and sys.stdout.isatty():
            text = _CLEAR + text
        print(text, end="", flush=True)
        if no_stream:
            return
        before = now


def _samples(
    session: Session, names: tuple[str, ...], everything: bool
) -> dict[str, dict[str, Any]]:
    if names:
        chosen = [session.client.containers.get(name) for name in names]
    else:
        chosen = [
            one
            for one in session.client.containers.list()
            if everything or one.status in ("running", "paused")
        ]
    found = {}
    for one in chosen:
        try:
            found[one.id] = one.stats()
        except NotFound:  # it was removed meanwhile
            if names:
                raise
    return found


COMMANDS: list[click.Command] = [rename, update, stats]
