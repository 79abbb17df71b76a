"""Commands about images."""

from __future__ import annotations

import sys
from typing import Any

import click

from corten.cli import credentials, filters, table, views
from corten.cli.clickext import Command, Group
from corten.cli.commands import exchange, space
from corten.cli.commands.show import inspect_all
from corten.cli.failures import each
from corten.cli.names import canonical, familiar
from corten.cli.pulling import pull as pull_image
from corten.cli.session import Session, pass_session
from corten.errors import InvalidArgument


@click.command(
    "pull",
    cls=Command,
    examples=("corten pull alpine", "corten pull redis:7"),
)
@click.option("-q", "--quiet", is_flag=True, help="Only the image's name.")
@click.option("--platform", default="", help="Instead of this machine's: linux/arm64.")
@click.option("-a", "--all-tags", "everything", is_flag=True, help="All tags of the name.")
@click.argument("name")
@pass_session
def pull(session: Session, name: str, quiet: bool, platform: str, everything: bool) -> None:
    """Fetch an image from its registry."""
    if everything:
        _pull_all(session, name, quiet, platform)
        return
    if not quiet and ":" not in name.rsplit("/", 1)[-1] and "@" not in name:
        print("Using default tag: latest")
    pull_image(session, name, platform=platform, quiet=quiet, out=sys.stdout)
    print(canonical(name))


def _pull_all(session: Session, name: str, quiet: bool, platform: str) -> None:
    if "@" in name or ":" in name.rsplit("/", 1)[-1]:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    repository = canonical(name).rpartition(":")[0]
    known = credentials.for_image(canonical(name), credentials.default_path())
    for tag in session.client.images.tags(name, auth=known):
        pull_image(session, f"{repository}:{tag}", platform=platform, quiet=quiet, out=sys.stdout)
    print(repository)


@click.command(
    "images", cls=Command,
    examples=("corten images", "corten images --digests alpine", "corten images -q"),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, hidden=True)
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--digests", is_flag=True, help="Show digests.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("-f", "--filter", "conditions", multiple=True, help="KEY=VALUE.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@click.argument("reference", required=False)
@pass_session
def images(
    session: Session, reference: str | None, everything: bool, quiet: bool, digests: bool,
    no_trunc: bool, conditions: tuple[str, ...], layout: str,
) -> None:  # fmt: skip
    """List images."""
    wanted = filters.parse(conditions, filters.IMAGES)
    if reference:
        wanted.setdefault("reference", []).append(reference)
    records = [image.attrs for image in session.client.images.list()]
    found = filters.select(records, wanted, filters.IMAGES)
    found.sort(key=lambda record: record.get("created_at", 0), reverse=True)
    if "reference" in wanted:  # of several names those that were asked for
        found = [{**record, "tags": filters.names_like(record, wanted["reference"])}
                 for record in found]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for record in found:
        rows += views.images(record, full=no_trunc)
    if quiet:
        print("".join(f"{one}\n" for one in dict.fromkeys(row["ID"] for row in rows)), end="")
        return
    default = views.DIGESTS_TABLE if digests else views.IMAGES_TABLE
    print(table.listing(rows, layout, default, views.IMAGES_HEADERS), end="")


@click.command("rmi", cls=Command, examples=("corten rmi alpine:3.20",))
@click.option("-f", "--force", is_flag=True, help="Also if containers use it.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@pass_session
def rmi(session: Session, names: tuple[str, ...], force: bool) -> None:
    """Remove images: names, and what no name keeps."""

    def one(name: str) -> None:
        for event in session.client.images.remove(name, force=force):
            word = "Untagged" if event["action"] == "untag" else "Deleted"
            shown = event.get("attributes", {}).get("name", "") or event["id"]
            print(f"{word}: {familiar(shown) if word == 'Untagged' else shown}")

    each(names, one)


@click.command("inspect", cls=Command, examples=("corten image inspect alpine",))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@pass_session
def inspect(session: Session, names: tuple[str, ...], layout: str) -> None:
    """Everything about images, as JSON."""
    inspect_all(session, names, layout, ("image",))


@click.command(
    "from-host", cls=Command, interspersed=False,
    examples=(
        "corten image from-host --tag tools /bin/sh /usr/bin/strace",
        "corten image from-host --tag web --cmd /usr/sbin/nginx /usr/sbin/nginx",
    ),
)  # fmt: skip
@click.option("-t", "--tag", required=True, help="Name of the image.")
@click.option("--cmd", multiple=True, help="The command, one word each.")
@click.argument("programs", nargs=-1, required=True, metavar="PROGRAM...")
@pass_session
def from_host(session: Session, tag: str, cmd: tuple[str, ...], programs: tuple[str, ...]) -> None:
    """Make an image from programs of this machine and the libraries they load."""
    print(session.client.images.from_host(tag, programs, cmd).id)


TOP_LEVEL: list[click.Command] = [pull, images, rmi, *exchange.TOP_LEVEL, space.history]
group = Group(
    "image",
    commands=[
        Command("ls", callback=images.callback, params=images.params, help=images.help),
        pull,
        Command("rm", callback=rmi.callback, params=rmi.params, help=rmi.help),
        inspect,
        from_host,
        *exchange.OF_IMAGES,
        space.history,
        space.prune_images,
    ],
    help="Manage images.",
)
