"""Commands that change a container's state."""

from __future__ import annotations

from typing import Any

import click

from corten.cli.clickext import Command
from corten.cli.failures import each
from corten.cli.session import Session, pass_session
from corten.errors import NotModified


def _containers(function: Any) -> Any:
    return click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")(function)


@click.command(
    "stop", cls=Command,
    examples=("corten stop web", "corten stop -t 2 web db"),
)  # fmt: skip
@click.option("-t", "--time", "--timeout", "seconds", type=int, help="Seconds before SIGKILL.")
@click.option("-s", "--signal", default="", help="Signal to send first.")
@_containers
@pass_session
def stop(session: Session, containers: tuple[str, ...], seconds: int | None, signal: str) -> None:
    """Stop running containers."""

    def one(ref: str) -> str:
        container = session.client.containers.get(ref)
        try:
            container.stop(timeout=seconds, signal=signal)
        except NotModified:
            pass  # it does not run: that is what was asked for
        return ref

    each(containers, one)


@click.command("restart", cls=Command, examples=("corten restart web", "corten restart -t 0 web"))
@click.option("-t", "--time", "--timeout", "seconds", type=int, help="Seconds before SIGKILL.")
@click.option("-s", "--signal", default="", help="Signal to send first.")
@_containers
@pass_session
def restart(
    session: Session, containers: tuple[str, ...], seconds: int | None, signal: str
) -> None:
    """Stop and start containers."""

    def one(ref: str) -> str:
        session.client.containers.get(ref).restart(timeout=seconds, signal=signal)
        return ref

    each(containers, one)


@click.command("kill", cls=Command, examples=("corten kill web", "corten kill -s HUP web"))
@click.option("-s", "--signal", default="KILL", help="Signal, by name or number.")
@_containers
@pass_session
def kill(session: Session, containers: tuple[str, ...], signal: str) -> None:
    """Send a signal to running containers."""

    def one(ref: str) -> str:
        session.client.containers.get(ref).kill(signal)
        return ref

    each(containers, one)


@click.command("wait", cls=Command, examples=("corten wait job", "corten wait a b c"))
@_containers
@pass_session
def wait(session: Session, containers: tuple[str, ...]) -> None:
    """Wait until containers have exited and print their exit codes."""
    each(containers, lambda ref: str(session.client.containers.get(ref).wait()))


@click.command("rm", cls=Command, examples=("corten rm web", "corten rm -f $(corten ps -aq)"))
@click.option("-f", "--force", is_flag=True, help="Kill it if it runs.")
@click.option("-v", "--volumes", is_flag=True, help="Remove its anonymous volumes too.")
@_containers
@pass_session
def rm(session: Session, containers: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove containers."""

    def one(ref: str) -> str:
        session.client.containers.get(ref).remove(force=force, volumes=volumes)
        return ref

    each(containers, one)


@click.command("pause", cls=Command, examples=("corten pause web",))
@_containers
@pass_session
def pause(session: Session, containers: tuple[str, ...]) -> None:
    """Freeze all processes of containers."""

    def one(ref: str) -> str:
        session.client.containers.get(ref).pause()
        return ref

    each(containers, one)


@click.command("unpause", cls=Command, examples=("corten unpause web",))
@_containers
@pass_session
def unpause(session: Session, containers: tuple[str, ...]) -> None:
    """Let frozen containers go on."""

    def one(ref: str) -> str:
        session.client.containers.get(ref).unpause()
        return ref

    each(containers, one)


COMMANDS = [stop, restart, kill, wait, rm, pause, unpause]
