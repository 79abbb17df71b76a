"""Commands about networks."""

from __future__ import annotations

import sys
from typing import Any

import click

from corten.cli import filters, parse, table, views
from corten.cli.clickext import Command, Group
from corten.cli.commands.show import inspect_all
from corten.cli.failures import each
from corten.cli.options import MOMENT
from corten.cli.session import Session, pass_session
from corten.errors import InvalidArgument


@click.command(
    "create", cls=Command,
    examples=(
        "corten network create app",
        "corten network create --subnet 10.20.0.0/24 --ip-range 10.20.0.128/25 lab",
        "corten network create --ipv6 --internal db",
    ),
)  # fmt: skip
@click.option("-d", "--driver", default="bridge", help="bridge.")
@click.option("--subnet", multiple=True, metavar="CIDR", help="Subnet; of IPv4, of IPv6, or both.")
@click.option("--gateway", multiple=True, metavar="ADDRESS", help="The bridge's own address.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Where addresses are chosen from.")
@click.option("--aux-address", multiple=True, metavar="NAME=ADDRESS", help="Addresses set aside.")
@click.option("--ipv6", is_flag=True, help="IPv6 as well.")
@click.option("--internal", is_flag=True, help="No way to the outside.")
@click.option("--attachable", is_flag=True, help="Kept and shown; every network is.")
@click.option("-o", "--opt", multiple=True, metavar="KEY=VALUE", help="Options of the driver.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Labels.")
@click.option("--ipam-driver", default="default", hidden=True)
@click.option("--ipam-opt", multiple=True, hidden=True)
@click.argument("name")
@pass_session
def create(session: Session, /, name: str, **o: Any) -> None:
    """Make a network."""
    spec: dict[str, Any] = {
        "driver": o["driver"],
        "ipv6": o["ipv6"],
        "internal": o["internal"],
        "attachable": o["attachable"],
        "options": parse.pairs(o["opt"], "option"),
        "labels": parse.pairs(o["label"], "label"),
        "aux": parse.pairs(o["aux_address"], "aux-address"),
        "ipam_options": parse.pairs(o["ipam_opt"], "IPAM option"),
    }
    if o["ipam_driver"] != "default":
        raise InvalidArgument(f"there is no IPAM driver {o['ipam_driver']!r}", hint="default")
    for kind in ("subnet", "gateway", "ip_range"):
        for value in o[kind]:
            member = f"{kind.removeprefix('ip_')}{6 if ':' in value else 4}"
            if member in spec:
                raise InvalidArgument(f"several values of --{kind.replace('_', '-')}: {value}")
            spec[member] = value
    for version in (4, 6):
        if f"subnet{version}" not in spec and {f"gateway{version}", f"range{version}"} & set(spec):
            raise InvalidArgument("every ip-range or gateway must have a corresponding subnet")
    print(session.client.networks.create(name, **spec).id)


@click.command(
    "ls", cls=Command,
    examples=("corten network ls", "corten network ls --filter type=custom -q"),
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-f", "--filter", "conditions", multiple=True, help="KEY=VALUE.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@pass_session
def ls(
    session: Session, quiet: bool, conditions: tuple[str, ...], no_trunc: bool, layout: str
) -> None:
    """List networks."""
    wanted = filters.parse(conditions, filters.NETWORKS)
    used = {
        end.get("network_id")
        for container in session.client.containers.list()
        for end in container.attrs.get("endpoints", ())
    }
    records = [
        {**network.attrs, "used": network.id in used} for network in session.client.networks.list()
    ]
    found = sorted(filters.select(records, wanted, filters.NETWORKS), key=lambda r: r["name"])
    rows = [views.network(record, full=no_trunc) for record in found]
    if quiet:
        print("".join(row["ID"] + "\n" for row in rows), end="")
        return
    print(table.listing(rows, layout, views.NETWORKS_TABLE, views.NETWORKS_HEADERS), end="")


@click.command("inspect", cls=Command, examples=("corten network inspect app",))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
@pass_session
def inspect(session: Session, names: tuple[str, ...], layout: str, verbose: bool) -> None:
    """Everything about networks, as JSON."""
    inspect_all(session, names, layout, ("network",))


@click.command(
    "connect", cls=Command,
    examples=("corten network connect --alias db app postgres1",),
)  # fmt: skip
@click.option("--alias", multiple=True, help="Another name of the container on the network.")
@click.option("--ip", default="", help="IPv4 address.")
@click.option("--ip6", default="", help="IPv6 address.")
@click.option("--mac-address", default="", help="MAC address.")
@click.argument("network")
@click.argument("container")
@pass_session
def connect(
    session: Session, network: str, container: str, alias: tuple[str, ...], ip: str, ip6: str,
    mac_address: str,
) -> None:  # fmt: skip
    """Connect a container to a network, running or not."""
    session.client.networks.get(network).connect(
        container, aliases=alias, ipv4=ip, ipv6=ip6, mac_address=mac_address
    )


@click.command("disconnect", cls=Command, examples=("corten network disconnect app web",))
@click.option("-f", "--force", is_flag=True, help="Also one that is not there.")
@click.argument("network")
@click.argument("container")
@pass_session
def disconnect(session: Session, network: str, container: str, force: bool) -> None:
    """Disconnect a container from a network."""
    session.client.networks.get(network).disconnect(container, force=force)


@click.command("rm", cls=Command, examples=("corten network rm app",))
@click.option("-f", "--force", is_flag=True, help="Those that are not there are no error.")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
@pass_session
def rm(session: Session, names: tuple[str, ...], force: bool) -> None:
    """Remove networks."""
    known = [n for network in session.client.networks.list() for n in (network.id, network.name)]

    def one(name: str) -> str | None:
        if force and not any(n == name or n.startswith(name) for n in known):
            return None
        session.client.networks.get(name).remove()
        return name

    each(names, one)


@click.command("prune", cls=Command, examples=("corten network prune --filter until=24h",))
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "conditions", multiple=True, help="label=…, label!=…, until=….")
@pass_session
def prune(session: Session, force: bool, conditions: tuple[str, ...]) -> None:
    """Remove all networks that no container is connected to."""
    wanted = filters.parse(conditions, filters.PRUNED_NETWORKS)
    if "until" in wanted:
        wanted["until"] = [str(MOMENT.convert(text, None, None)) for text in wanted["until"]]
    if not force:
        print("WARNING! This will remove all custom networks not used by at least one container.")
        print("Are you sure you want to continue? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return
    networks = [n for n in session.client.networks.list() if not n.attrs.get("built_in")]
    chosen = {r["id"] for r in filters.select([n.attrs for n in networks], wanted,
                                              filters.PRUNED_NETWORKS)}  # fmt: skip
    removed = session.client.networks.prune([n for n in networks if n.id in chosen])
    if removed:
        print("Deleted Networks:")
        print("".join(network.name + "\n" for network in removed))


@click.command(
    "explain", cls=Command,
    examples=(
        "corten network explain web db:5432",
        "corten network explain outside web:80",
        "corten network explain web 1.1.1.1:53/udp",
    ),
)  # fmt: skip
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST[:PORT[/PROTOCOL]]")
@pass_session
def explain(session: Session, source: str, target: str) -> None:
    """The way of a packet, and where it would be dropped.

    SRC and DST are a container, an address, host or outside.
    """
    place, protocol = target, "tcp"
    if "/" in place:
        place, _, protocol = place.partition("/")
    if protocol not in ("tcp", "udp"):
        raise InvalidArgument(f"invalid protocol {protocol!r}", hint="tcp or udp")
    name, port = _split_port(place)
    way = session.client.networks.explain(source, name, port=port, protocol=protocol)
    for number, step in enumerate(way.get("steps", ()), 1):
        mark = "ok  " if step.get("passes", True) else "DROP"
        print(f"{number:2}. {mark}  {step['where']}: {step['what']}")
    print("it arrives" if way["arrives"] else "it does not arrive")
    if way.get("hint"):
        print(f"Hint: {way['hint']}")
    if not way["arrives"]:
        raise click.exceptions.Exit(1)


def _split_port(text: str) -> tuple[str, int]:
    """``web:80``, ``[fd00::2]:80``, ``fd00::2``."""
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        name, _, port = text.partition(":")
    else:
        name, port = text, ""
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise InvalidArgument(f"invalid port {port!r}", hint="SRC DST:80")
    return name, int(port or 0)


group = Group(
    "network",
    commands=[create, ls, inspect, connect, disconnect, explain, rm, prune],
    help="Manage networks.",
)
