"""Commands about pods: for looking; the kubelet makes them."""

from __future__ import annotations

import click

from corten.cli import inspecting, table, views
from corten.cli.clickext import Command, Group
from corten.cli.session import Session, pass_session
from corten.client import Pod
from corten.errors import InvalidArgument, NotFound


def _find(session: Session, ref: str) -> Pod:
    """By id, unique prefix of one, name, or NAMESPACE/NAME."""
    pods = session.of_tenant("k8s").pods.list()
    named = [pod for pod in pods if ref in (pod.id, pod.name, views.pod_name(pod.attrs))]
    found = named or [pod for pod in pods if pod.id.startswith(ref)]
    if not found:
        raise NotFound(f"no such pod: {ref}", hint="corten pod ls -a lists them")
    if len(found) > 1:
        raise InvalidArgument(
            f"several pods are called {ref!r}", hint="use NAMESPACE/NAME or an id"
        )
    return found[0]


@click.command("ls", cls=Command, examples=("corten pod ls -a",))
@click.option("-a", "--all", "everything", is_flag=True, help="Those that are not ready, too.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--format", "layout", default="", help="A Go template, 'table …', or json.")
@pass_session
def ls(session: Session, everything: bool, quiet: bool, no_trunc: bool, layout: str) -> None:
    """List pods."""
    records = [pod.attrs for pod in session.of_tenant("k8s").pods.list()]
    shown = [record for record in records if everything or record.get("ready")]
    shown.sort(key=lambda record: record["created_at"], reverse=True)
    rows = [views.pod(record, full=no_trunc) for record in shown]
    if quiet:
        print("".join(row["ID"] + "\n" for row in rows), end="")
        return
    print(table.listing(rows, layout, views.PODS_TABLE, views.PODS_HEADERS), end="")


@click.command("inspect", cls=Command, examples=("corten pod inspect default/web",))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@click.argument("names", nargs=-1, required=True, metavar="POD...")
@pass_session
def inspect(session: Session, names: tuple[str, ...], layout: str) -> None:
    """Everything about pods, as JSON."""
    found = [inspecting.pod(_find(session, name).attrs) for name in names]
    print(table.render_each(found, layout), end="")


group = Group("pod", commands=[ls, inspect], help="Look at Kubernetes pods.")
