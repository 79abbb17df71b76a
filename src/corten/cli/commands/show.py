"""Commands that show: ``ps``, ``logs``, ``inspect``, ``top``, ``port``, ``events``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from corten.cli import filters, inspecting, processes, table, template, views
from corten.cli.clickext import Command
from corten.cli.commands.attach import shell
from corten.cli.failures import print_error
from corten.cli.human import log_time
from corten.cli.live.screen import objection
from corten.cli.live.view import View
from corten.cli.options import MOMENT
from corten.cli.session import TENANTS, Session, pass_session
from corten.cli.template_eval import render
from corten.client import Client
from corten.errors import CortenError, FailedPrecondition, InvalidArgument, NotFound


@click.command(
    "ps", cls=Command,
    examples=(
        "corten ps -a",
        "corten ps --filter status=exited -q",
        "corten ps --format '{{.Names}}: {{.Status}}'",
        "corten ps --tenant k8s      # pods and their containers",
    ),
)  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run, too.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-n", "--last", type=int, default=-1, help="The last N created.")
@click.option("-l", "--latest", is_flag=True, help="The last created.")
@click.option("-f", "--filter", "conditions", multiple=True, help="KEY=VALUE.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@click.option("--tenant", type=click.Choice([*TENANTS, "all"]), help="Whose.")
@pass_session
def ps(
    session: Session, everything: bool, quiet: bool, last: int, latest: bool,
    conditions: tuple[str, ...], no_trunc: bool, layout: str, tenant: str | None,
) -> None:  # fmt: skip
    """List containers (and, of the tenant k8s, pods)."""
    wanted = filters.parse(conditions, filters.CONTAINERS)
    count = 1 if latest else last
    tenants = TENANTS if tenant == "all" else (tenant or session.tenant,)
    rows: list[dict[str, Any]] = []
    for name in tenants:
        client = session.of_tenant(name)
        records = _containers(client, wanted, everything or "status" in wanted or count >= 0)
        pods = [pod.attrs for pod in client.pods.list()] if name == "k8s" else []
        names = {pod["id"]: views.pod_name(pod) for pod in pods}
        if not wanted:
            rows += [views.pod_row(p, full=no_trunc) for p in pods if everything or p.get("ready")]
        if count >= 0:
            records = records[:count]
        rows += [views.container(record, full=no_trunc, pods=names) for record in records]
    if quiet:
        print("".join(row["ID"] + "\n" for row in rows), end="")
        return
    default = views.PS_TABLE + ("\t{{.Pod}}" if "k8s" in tenants else "")
    print(table.listing(rows, layout, default, views.PS_HEADERS), end="")


def _containers(
    client: Client, wanted: dict[str, list[str]], everything: bool
) -> list[filters.Record]:
    for key in ("before", "since"):  # the user names a container, the test wants its time
        if key in wanted:
            found_at = [client.containers.get(ref).attrs["created_at"] for ref in wanted[key]]
            wanted = {**wanted, key: [str(time) for time in found_at]}
    records = [container.attrs for container in client.containers.list()]
    if not everything and "exited" not in wanted:
        records = [r for r in records if views.status_of(r) in ("running", "paused", "restarting")]
    found = filters.select(records, wanted, filters.CONTAINERS)
    return sorted(found, key=lambda record: record["created_at"], reverse=True)


@click.command("logs", cls=Command, examples=("corten logs -f web", "corten logs --tail 20 -t web"))
@click.option("-f", "--follow", is_flag=True, help="Go on with new output.")
@click.option("-n", "--tail", default="all", help="Lines from the end, or all.")
@click.option("-t", "--timestamps", is_flag=True, help="A time in front of every line.")
@click.option("--since", type=MOMENT, default=0, help="After a time, or a duration ago: 10m.")
@click.option("--until", type=MOMENT, default=0, help="Before a time, or a duration ago.")
@click.argument("container")
@pass_session
def logs(
    session: Session, container: str, follow: bool, tail: str, timestamps: bool, since: int,
    until: int,
) -> None:  # fmt: skip
    """Print what a container wrote."""
    if tail != "all" and not tail.lstrip("-").isdigit():
        raise InvalidArgument(f"invalid number of lines: {tail!r}", hint="a number, or all")
    count = None if tail == "all" or tail.startswith("-") else int(tail)
    found = session.client.containers.get(container)
    if found.attrs["config"].get("log", {}).get("driver") == "none":
        raise FailedPrecondition(
            "the log driver none does not support reading",
            hint="run the container without --log-driver none",
        )
    outputs = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    fresh = {1: True, 2: True}
    last = 0
    for line in found.logs(follow=follow, tail=count, since=since, until=until):
        if line.stream != last and last:
            outputs[last].flush()
        last = line.stream
        if timestamps and fresh[line.stream]:
            outputs[line.stream].write(log_time(line.time).encode() + b" ")
        outputs[line.stream].write(line.data)
        fresh[line.stream] = not line.partial
        if follow:
            outputs[line.stream].flush()
    for output in outputs.values():
        output.flush()


_KINDS = ("container", "image", "volume", "network", "pod")


@click.command(
    "inspect", cls=Command,
    examples=(
        "corten inspect web",
        "corten inspect -f '{{.State.Pid}} {{.NetworkSettings.IPAddress}}' web",
        "corten inspect --type image alpine",
    ),
)  # fmt: skip
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.option("--type", "kind", type=click.Choice(_KINDS), help="Only objects of this kind.")
@click.option("-s", "--size", is_flag=True, hidden=True)
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID...")
@pass_session
def inspect(
    session: Session, names: tuple[str, ...], layout: str, kind: str | None, size: bool
) -> None:
    """Everything about containers, images, volumes, networks or pods, as JSON."""
    inspect_all(session, names, layout, (kind,) if kind else _KINDS)


@click.command("inspect", cls=Command, examples=("corten container inspect web",))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.option("-s", "--size", is_flag=True, hidden=True)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")
@pass_session
def inspect_container(session: Session, names: tuple[str, ...], layout: str, size: bool) -> None:
    """Everything about containers, as JSON."""
    inspect_all(session, names, layout, ("container",))


def inspect_all(
    session: Session, names: tuple[str, ...], layout: str, kinds: tuple[str, ...]
) -> None:
    """Print what is found, then fail if something was not."""
    found: list[Any] = []
    failed = False
    for name in names:
        try:
            found.append(lookup(session, name, kinds))
        except CortenError as error:
            print_error(error)
            failed = True
    if found or not layout:
        print(table.render_each(found, layout), end="")
    if failed:
        raise click.exceptions.Exit(1)


def lookup(session: Session, name: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The first object of that name, in the order of the kinds. Raises NotFound."""
    finders: dict[str, Callable[[], dict[str, Any]]] = {
        "container": lambda: _container(session, name),
        "image": lambda: inspecting.image(session.client.images.get(name).attrs),
        "volume": lambda: inspecting.volume(session.client.volumes.get(name).attrs),
        "network": lambda: network_document(session, name),
        "pod": lambda: inspecting.pod(session.of_tenant("k8s").pods.get(name).attrs),
    }
    for kind in kinds:
        try:
            return finders[kind]()
        except NotFound:
            if len(kinds) == 1:
                raise
    raise NotFound(f"no such object: {name}", hint="corten ps -a and corten images list them")


def network_document(session: Session, name: str) -> dict[str, Any]:
    """A network with its containers, in docker's shape."""
    record = session.client.networks.get(name).attrs
    return inspecting.network(record, [c.attrs for c in session.client.containers.list()])


def _container(session: Session, name: str) -> dict[str, Any]:
    record = session.client.containers.get(name).attrs
    try:
        image = session.client.images.get(record["image_id"]).attrs
    except NotFound:
        image = {}
    used = {m["source"] for m in record["config"].get("mounts", ()) if m["type"] == "volume"}
    places = {one.name: one.path for one in session.client.volumes.list()} if used else {}
    return inspecting.container(record, image, places)


@click.command(
    "top",
    cls=Command,
    interspersed=False,
    examples=("corten top", "corten top --interval 5", "corten top web -o pid,rss,cmd"),
)
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=1.0, metavar="SECONDS",
    show_default=True, help="Between two looks of the live view.",
)  # fmt: skip
@click.argument("container", required=False)
@click.argument("ps_options", nargs=-1, type=click.UNPROCESSED)
@pass_session
def top(
    session: Session, container: str | None, ps_options: tuple[str, ...], interval: float
) -> int:
    """The processes of a container; without one, a live view of all.

    In the live view: arrows choose, c m n p i d sort, s stops, l shows the log, e runs a shell,
    q quits, ? tells more.
    """
    if container is None:
        return _live(session, interval)
    found = session.client.containers.get(container)
    if found.status not in ("running", "paused"):
        raise FailedPrecondition(f"container {container} is not running")
    print(table.align(processes.listing(set(found.top()), ps_options)), end="")
    return 0


def _live(session: Session, interval: float) -> int:
    reason = objection()
    if reason:
        print(f"corten: {reason}", file=sys.stderr)
        print("Hint: corten stats --no-stream, or: corten top CONTAINER", file=sys.stderr)
        return 1
    View(session, interval, shell).run()
    return 0


@click.command("port", cls=Command, examples=("corten port web", "corten port web 80/tcp"))
@click.argument("container")
@click.argument("port", required=False)
@pass_session
def port(session: Session, container: str, port: str | None) -> None:
    """Where the ports of a container are published."""
    record = session.client.containers.get(container).attrs
    bound = inspecting.container(record, {})["NetworkSettings"]["Ports"]
    wanted = port if port is None or "/" in port else f"{port}/tcp"
    if wanted is not None and wanted not in bound:
        raise NotFound(f"no public port {wanted!r} published for {container}")
    for name, places in bound.items():
        for place in places:
            text = f"{place['HostIp'] or '0.0.0.0'}:{place['HostPort']}"
            if wanted is None:
                print(f"{name} -> {text}")
            elif name == wanted:
                print(text)


@click.command(
    "events", cls=Command,
    examples=("corten events --since 10m", "corten events --filter event=die --format json"),
)  # fmt: skip
@click.option("--since", type=MOMENT, help="From a time on, or a duration ago.")
@click.option("--until", type=MOMENT, help="Until a time; without it, for ever.")
@click.option("-f", "--filter", "conditions", multiple=True, help="KEY=VALUE.")
@click.option("--format", "layout", default="", help="A Go template, or json.")
@click.option("--tenant", type=click.Choice([*TENANTS, "all"]), help="Whose.")
@pass_session
def events(
    session: Session, since: int | None, until: int | None, conditions: tuple[str, ...],
    layout: str, tenant: str | None,
) -> None:  # fmt: skip
    """What happens, as it happens."""
    wanted = filters.parse(conditions, filters.EVENTS)
    everyone = tenant == "all"
    client = session.client if everyone else session.of_tenant(tenant or session.tenant)
    source = layout if layout != "json" else "{{json .}}"
    nodes = template.parse(template.unescape_format(source)) if layout else None
    for event in client.events(since=since, until=until, all_tenants=everyone):
        if not filters.select([event], wanted, filters.EVENTS):
            continue
        text = views.event_line(event) if nodes is None else render(nodes, views.event(event))
        print(text, flush=True)


COMMANDS: list[click.Command] = [ps, logs, inspect, top, port, events]
OF_CONTAINERS: list[click.Command] = [
    Command("ls", callback=ps.callback, params=ps.params, help=ps.help),
    logs,
    inspect_container,
    top,
    port,
]
