"""Commands about volumes."""

from __future__ import annotations

from typing import Any

import click

from corten.cli import filters, human, parse, table, views
from corten.cli.clickext import Command, Group
from corten.cli.commands.show import inspect_all
from corten.cli.failures import each
from corten.cli.session import Session, pass_session


@click.command(
    "create", cls=Command,
    examples=(
        "corten volume create data",
        "corten volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch",
    ),
)  # fmt: skip
@click.option("-d", "--driver", default="local", help="There is one: local.")
@click.option("-o", "--opt", "options", multiple=True, help="Of the driver: type, device, o.")
@click.option("--label", "labels", multiple=True, help="Set metadata on the volume.")
@click.argument("name", required=False, default="")
@pass_session
def create(
    session: Session, driver: str, options: tuple[str, ...], labels: tuple[str, ...], name: str
) -> None:
    """Make a volume; without a name it is anonymous."""
    made = session.client.volumes.create(
        name,
        driver=driver,
        options=parse.pairs(options, "option"),
        labels=parse.pairs(labels, "label"),
    )
    print(made.name)


@click.command(
    "ls", cls=Command,
    examples=("corten volume ls", "corten volume ls -q -f dangling=true"),
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option("-f", "--filter", "conditions", multiple=True, help="KEY=VALUE.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@pass_session
def ls(session: Session, quiet: bool, conditions: tuple[str, ...], layout: str) -> None:
    """List volumes."""
    wanted = filters.parse(conditions, filters.VOLUMES)
    records = [volume.attrs for volume in session.client.volumes.list()]
    found = filters.select(records, wanted, filters.VOLUMES)
    rows = [views.volume(record) for record in found]
    if quiet and not layout:
        print("".join(row["Name"] + "\n" for row in rows), end="")
        return
    print(table.listing(rows, layout, views.VOLUMES_TABLE, views.VOLUMES_HEADERS), end="")


@click.command("inspect", cls=Command, examples=("corten volume inspect data",))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@pass_session
def inspect(session: Session, names: tuple[str, ...], layout: str) -> None:
    """Everything about volumes, as JSON."""
    inspect_all(session, names, layout, ("volume",))


@click.command("rm", cls=Command, examples=("corten volume rm data",))
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@pass_session
def rm(session: Session, names: tuple[str, ...], force: bool) -> None:
    """Remove volumes with their files."""

    def one(name: str) -> str:
        session.client.volumes.remove(name, force=force)
        return name

    each(names, one)


@click.command(
    "prune", cls=Command,
    examples=("corten volume prune", "corten volume prune -af --filter label!=keep"),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that have a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "conditions", multiple=True, help="label=…, label!=….")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@pass_session
def prune(
    session: Session, everything: bool, force: bool, conditions: tuple[str, ...], dry_run: bool
) -> int:
    """Remove the volumes that no container uses."""
    wanted = filters.parse(conditions, filters.PRUNED_VOLUMES)
    records = [volume.attrs for volume in session.client.volumes.list()]
    unused = [
        record
        for record in filters.select(records, wanted, filters.PRUNED_VOLUMES)
        if not record.get("used_by") and (everything or record.get("anonymous"))
    ]
    names = [str(record["name"]) for record in unused]
    if dry_run:
        print("".join(f"{name}\n" for name in names), end="")
        return 0
    if not force and not _agreed("all" if everything else "anonymous"):
        return 1
    removed, freed = session.client.volumes.prune(names)
    if removed:
        print("Deleted Volumes:\n" + "".join(f"{name}\n" for name in removed))
    print(f"Total reclaimed space: {human.size(freed)}")
    return 0


def _agreed(which: str) -> bool:
    print(f"WARNING! This will remove {which} local volumes not used by at least one container.")
    try:
        answer = input("Are you sure you want to continue? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


COMMANDS: list[Any] = [create, ls, inspect, rm, prune]
group = Group("volume", commands=COMMANDS, help="Manage volumes.")
