"""``corten explain``: what an object is made of on this machine, and what goes with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from corten.cli import human, table
from corten.cli.clickext import Command
from corten.cli.names import familiar
from corten.cli.session import Session, pass_session

_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
KINDS = ("container", "image", "volume", "network", "pod")
_ROLES = {
    "init": "its first process", "exec": "an exec", "keeper": "monitor, keeper",
    "attendant": "monitor, attendant", "reaper": "the pod's reaper", "": "",
}  # fmt: skip


@click.command(
    "explain", cls=Command,
    examples=(
        "corten explain web",
        "corten explain --type image redis:7",
        "corten explain data --format '{{json .Places}}'",
        "corten explain web --format '{{range .Processes}}{{.Pid}} {{end}}'",
    ),
)  # fmt: skip
@click.option("--type", "kind", type=click.Choice(KINDS), help="Only objects of this kind.")
@click.option("-f", "--format", "layout", default="", help="A Go template, or json.")
@click.option("--exact", is_flag=True, help="Sizes in bytes.")
@click.argument("name", metavar="OBJECT")
@pass_session
def explain(session: Session, name: str, kind: str | None, layout: str, exact: bool) -> None:
    """What an object is made of on this machine.

    Where the bytes of a container, image, volume, network or pod lie, which processes, mounts,
    cgroups, namespaces and firewall rules belong to it, and what its removal would take.
    """
    said = renamed(session.client.explain(name, kind=kind or ""))
    if layout:
        text = "{{json .}}" if layout == "json" else layout
        print(table.render_each([said], text), end="")
        return
    print(text_of(said, exact=exact), end="")


def renamed(value: Any) -> Any:
    """With members as templates name them: ``what_it_is`` to ``WhatItIs``."""
    if isinstance(value, dict):
        return {
            "".join(word.capitalize() for word in key.split("_")): renamed(one)
            for key, one in value.items()
        }
    return [renamed(one) for one in value] if isinstance(value, list | tuple) else value


def text_of(said: dict[str, Any], *, exact: bool) -> str:
    """For people.

    Arguments:
        exact: sizes in bytes.
    """

    def size(count: int | None) -> str:
        if count is None:
            return ""
        return str(count) if exact else human.size(count)

    title = familiar(said["Name"]) or said["Id"][:12]
    lines = [f"{said['Kind']} {title} ({said['Id']}): {said['What']}"]
    if said["Also"]:
        kinds = " and ".join(said["Also"])
        lines.append(f"The name means {kinds}, too: --type {said['Also'][0]}")
    sections: tuple[tuple[str, Callable[[], list[list[str]]]], ...] = (
        ("Where its bytes lie", lambda: [_place(one, size) for one in said["Places"]]),
        ("Processes", lambda: [_process(one, size) for one in said["Processes"]]),
        ("Mounts", lambda: _mounts(said["Mounts"])),
        ("Control groups", lambda: _groups(said["Cgroups"])),
        ("Namespaces", lambda: _namespaces(said["Namespaces"])),
        ("Interfaces", lambda: [_link(one) for one in said["Links"]]),
        ("Firewall and ports", lambda: [[one["What"], one["Where"]] for one in said["Rules"]]),
        ("Belongs with", lambda: [_related(one) for one in said["Related"]]),
        ("Removal", lambda: _removal(said["Removal"], size)),
    )
    for heading, rows_of in sections:
        rows = rows_of()
        if rows:
            lines += ["", f"{heading}:", *_columns(rows)]
    return "\n".join(lines) + "\n"


def short(text: str) -> str:
    """With the first digits of what made itself a name, as anonymous volumes; not of paths."""
    return text if "/" in text.partition(" at ")[0] else _ID.sub(r"\1", text)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    count = max(len(row) for row in rows)
    widths = [max((len(row[i]) for row in rows if len(row) > i), default=0) for i in range(count)]
    return [
        "  " + "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def _place(one: dict[str, Any], size: Callable[[int | None], str]) -> list[str]:
    goes = {"yes": "goes with it", "with -v": "goes with -v", "no": "stays"}[one["Goes"]]
    return [size(one["Size"]), goes, short(one["What"]), one["Path"]]


def _process(one: dict[str, Any], size: Callable[[int | None], str]) -> list[str]:
    command = one["Command"]
    short = command if len(command) <= 60 else command[:59] + "…"
    role = _ROLES.get(one["Role"], one["Role"])
    return [str(one["Pid"]), f"uid {one['User']}", size(one["Memory"]), short, role]


def _mounts(mounts: list[dict[str, Any]]) -> list[list[str]]:
    shown = [
        [m["Target"], m["Type"], m["Options"], short(m["Source"])]
        for m in mounts
        if not m["Kernel"]
    ]
    hidden = len(mounts) - len(shown)
    if hidden:
        shown.append(
            [f"and {hidden} of the kernel's own file systems (all of them: --format json)"]
        )
    return shown


def _groups(groups: list[dict[str, Any]]) -> list[list[str]]:
    """One row where hierarchies of v1 have the same path."""
    rows: dict[tuple[str, str], list[str]] = {}
    for one in groups:
        controllers = one["Controllers"]
        tail = one["Path"].removeprefix("/sys/fs/cgroup/")
        if controllers:
            tail = tail.removeprefix(controllers.removeprefix("name=") + "/")
        rows.setdefault((one["Of"], tail), []).append(controllers or "v2")
    return [[f"of the {of}", tail, ", ".join(names)] for (of, tail), names in rows.items()]


def _namespaces(spaces: list[dict[str, Any]]) -> list[list[str]]:
    return [[one["Kind"], str(one["Number"]), one["Whose"]] for one in spaces]


def _link(one: dict[str, Any]) -> list[str]:
    return [one["Name"], ", ".join(one["Addresses"]), one["What"]]


def _related(one: dict[str, Any]) -> list[str]:
    name = familiar(one["Name"]) or one["Id"].rpartition(":")[2][:12]
    return [one["Kind"], short(name), one["How"]]


def _removal(one: dict[str, Any], size: Callable[[int | None], str]) -> list[list[str]]:
    rows = [["command", one["Command"]]] if one["Command"] else []
    if one["Obstacle"]:
        rows.append(["in the way", one["Obstacle"]])
    rows += [["takes", what] for what in one["Takes"]]
    rows += [["leaves", what] for what in one["Leaves"]]
    if one["Frees"] is not None:
        rows.append(["frees", size(one["Frees"])])
    return rows


COMMANDS: list[click.Command] = [explain]
