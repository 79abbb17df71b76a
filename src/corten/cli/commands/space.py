"""Commands about what takes space: ``history``, ``system df``, and the prunes."""

from __future__ import annotations

import sys
from typing import Any

import click

from corten.cli import human, parse, table, views
from corten.cli.clickext import Command
from corten.cli.names import familiar
from corten.cli.session import Session, pass_session
from corten.errors import InvalidArgument

_HISTORY = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
_HISTORY_HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip
_DF = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
_DF_HEADERS = {
    "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}  # fmt: skip
_WIDTH = 45


@click.command("history", cls=Command, examples=("corten history redis:7",))
@click.option("-H", "--human/--no-human", "readable", default=True, help="Sizes in units.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--format", "layout", default="", help="A Go template, or json.")
@click.argument("image")
@pass_session
def history(
    session: Session, image: str, readable: bool, no_trunc: bool, quiet: bool, layout: str
) -> None:
    """How an image came to be, newest first."""
    rows = []
    for step in session.client.images.history(image):
        made_by = step.get("created_by", "").replace("\t", " ")
        if not no_trunc and len(made_by) > _WIDTH:
            made_by = made_by[: _WIDTH - 1] + "…"
        size = step.get("size", 0)
        created = step.get("created", 0)
        rows.append(
            {
                "ID": views.short_id(step["id"], no_trunc) if step.get("id") else "<missing>",
                "CreatedSince": human.ago(created),
                "CreatedAt": human.rfc3339(created),
                "CreatedBy": made_by,
                "Size": human.size(size) if readable else str(size),
                "Comment": step.get("comment", ""),
            }
        )
    if quiet:
        print("".join(row["ID"] + "\n" for row in rows), end="")
        return
    print(table.listing(rows, layout, _HISTORY, _HISTORY_HEADERS), end="")


# pruning -------------------------------------------------------------------------------------


def wanted_of(conditions: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """``--filter`` of a prune, and the value of ``dangling``."""
    wanted: dict[str, Any] = {"labels": [], "without": []}
    dangling = ""
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise InvalidArgument("bad format of filter (expected name=value)")
        if key == "until":
            wanted["until"] = parse.moment(value)
        elif key == "label":
            wanted["labels"].append(value)
        elif key == "label!":
            wanted["without"].append(value)
        elif key == "dangling":
            dangling = value
        else:
            raise InvalidArgument(f"invalid filter {key!r}")
    return wanted, dangling


def confirmed(question: str, force: bool) -> bool:
    """Whether the user wants it."""
    if force:
        return True
    print(f"{question}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show(done: dict[str, Any], title: str, *, dry_run: bool) -> int:
    """Print what a prune did; the bytes."""
    removed = done.get("removed", ())
    if removed:
        print(f"{'Would delete' if dry_run else 'Deleted'} {title}:")
        for action, name in removed:
            if title == "Images":
                word = "untagged: " if action == "untag" else "deleted: "
                print(word + (familiar(name) if action == "untag" else name))
            else:
                print(name)
        print()
    return int(done.get("space", 0))


def total(space: int, *, dry_run: bool) -> None:
    """The last line."""
    word = "Reclaimable space" if dry_run else "Total reclaimed space"
    print(f"{word}: {human.size(space, digits=4)}")


@click.command("prune", cls=Command, examples=("corten image prune -a --dry-run",))
@click.option("-a", "--all", "everything", is_flag=True, help="Those with a name, too.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "conditions", multiple=True, help="until=, label=, label!=.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@pass_session
def prune_images(
    session: Session, everything: bool, force: bool, conditions: tuple[str, ...], dry_run: bool
) -> None:
    """Remove images that no container uses."""
    wanted, dangling = wanted_of(conditions)
    everything = everything or dangling in ("false", "0")
    what = "all images without at least one container associated to them"
    question = f"WARNING! This will remove {what if everything else 'all dangling images'}."
    if not confirmed(question, force or dry_run):
        return
    done = session.client.images.prune(wanted, everything=everything, dry_run=dry_run)
    total(show(done, "Images", dry_run=dry_run), dry_run=dry_run)


@click.command("prune", cls=Command, examples=("corten container prune --filter until=24h",))
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "conditions", multiple=True, help="until=, label=, label!=.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@pass_session
def prune_containers(
    session: Session, force: bool, conditions: tuple[str, ...], dry_run: bool
) -> None:
    """Remove containers that do not run."""
    wanted, _ = wanted_of(conditions)
    if not confirmed("WARNING! This will remove all stopped containers.", force or dry_run):
        return
    done = session.client.containers.prune(wanted, dry_run=dry_run)
    total(show(done, "Containers", dry_run=dry_run), dry_run=dry_run)


@click.command(
    "prune", cls=Command, examples=("corten system prune --dry-run", "corten system prune -af"),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="All unused images.")
@click.option("--volumes", is_flag=True, help="Anonymous volumes, too.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "conditions", multiple=True, help="until=, label=, label!=.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@pass_session
def prune_system(
    session: Session, everything: bool, volumes: bool, force: bool, conditions: tuple[str, ...],
    dry_run: bool,
) -> None:  # fmt: skip
    """Remove stopped containers and unused images."""
    wanted, _ = wanted_of(conditions)
    images = "all images without at least one container associated to them"
    question = (
        "WARNING! This will remove:\n  - all stopped containers\n"
        f"  - {images if everything else 'all dangling images'}\n"
        + ("  - all anonymous volumes not used by at least one container\n" if volumes else "")
    )
    if not confirmed(question, force or dry_run):
        return
    space = show(
        session.client.containers.prune(wanted, dry_run=dry_run), "Containers", dry_run=dry_run
    )
    if volumes:
        space += _prune_volumes(session, dry_run=dry_run)
    done = session.client.images.prune(wanted, everything=everything, dry_run=dry_run)
    space += show(done, "Images", dry_run=dry_run)
    total(space, dry_run=dry_run)


def _prune_volumes(session: Session, *, dry_run: bool) -> int:
    names = [
        str(one.attrs["name"])
        for one in session.client.volumes.list()
        if one.attrs.get("anonymous") and not one.attrs.get("used_by")
    ]
    if dry_run:
        return show({"removed": [("delete", name) for name in names]}, "Volumes", dry_run=True)
    removed, freed = session.client.volumes.prune(names)
    done = {"removed": [("delete", name) for name in removed], "space": freed}
    return show(done, "Volumes", dry_run=False)


# measuring -----------------------------------------------------------------------------------


@click.command("df", cls=Command, examples=("corten system df", "corten system df -v"))
@click.option("-v", "--verbose", is_flag=True, help="Each object.")
@click.option("--format", "layout", default="", help="A Go template.")
@pass_session
def df(session: Session, verbose: bool, layout: str) -> None:
    """What takes how much space."""
    usage = session.client.disk_usage()
    images = {i.attrs["id"]: i.attrs for i in session.client.images.list()}
    records = {c.attrs["id"]: c.attrs for c in session.client.containers.list()}
    if verbose:
        _verbose(usage, images, records)
        return
    print(table.listing(_summary(usage, images, records), layout, _DF, _DF_HEADERS), end="")


def _summary(
    usage: dict[str, Any], images: dict[str, Any], records: dict[str, Any]
) -> list[dict[str, Any]]:
    used = [one for one in usage.get("images", ()) if one.get("containers")]
    free = sum(
        [
            images.get(one["id"], {}).get("size", 0) - one.get("shared", 0)
            for one in usage.get("images", ())
            if not one.get("containers")
        ]
    )
    layers = usage.get("layers", 0)
    containers = usage.get("containers", ())
    written = sum([one.get("writable", 0) for one in containers])
    running = [c for c in records.values() if views.status_of(c) in ("running", "paused")]
    idle = sum(
        [
            one.get("writable", 0)
            for one in containers
            if views.status_of(records.get(one["id"], {})) not in ("running", "paused")
        ]
    )
    return [
        _row("Images", len(usage.get("images", ())), len(used), layers, free),
        _row("Containers", len(containers), len(running), written, idle),
        _row("Packed layers", len(usage.get("images", ())), len(used), usage.get("blobs", 0), None),
    ]


def _row(kind: str, count: int, active: int, size: int, free: int | None) -> dict[str, Any]:
    share = "" if not size or free is None else f" ({100 * free // size}%)"
    return {
        "Type": kind,
        "TotalCount": str(count),
        "Active": str(active),
        "Size": human.size(size, digits=4),
        "Reclaimable": "" if free is None else human.size(free, digits=4) + share,
    }


def _verbose(usage: dict[str, Any], images: dict[str, Any], records: dict[str, Any]) -> None:
    rows = [["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE",
             "CONTAINERS"]]  # fmt: skip
    for one in usage.get("images", ()):
        record = images.get(one["id"])
        if record is None:
            continue
        size, shared = record.get("size", 0), one.get("shared", 0)
        for row in views.images(record, full=False):
            rows.append(
                [row["Repository"], row["Tag"], row["ID"], row["CreatedSince"], row["Size"],
                 human.size(shared, digits=4), human.size(size - shared, digits=4),
                 str(one.get("containers", 0))]
            )  # fmt: skip
    print("Images space usage:\n")
    print(table.align(rows))
    rows = [["CONTAINER ID", "IMAGE", "COMMAND", "SIZE", "CREATED", "STATUS", "NAMES"]]
    for one in usage.get("containers", ()):
        record = records.get(one["id"])
        if record is None:
            continue
        row = views.container(record, full=False, pods={})
        rows.append(
            [row["ID"], row["Image"], row["Command"], human.size(one.get("writable", 0)),
             row["RunningFor"], row["Status"], row["Names"]]
        )  # fmt: skip
    print("Containers space usage:\n")
    print(table.align(rows), end="")
