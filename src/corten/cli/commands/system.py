"""Commands about the daemon and the command line itself."""

from __future__ import annotations

import platform
import sys
from typing import Any

import click

import corten
from corten.cli import completion, human, table
from corten.cli.clickext import Command, Group
from corten.cli.commands import checking, space
from corten.cli.failures import print_error
from corten.cli.session import Session, pass_session
from corten.errors import CortenError


@click.command(
    "version", cls=Command,
    examples=("corten version", "corten version --format '{{.Server.Version}}'"),
)  # fmt: skip
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@pass_session
def version(session: Session, layout: str) -> int:
    """The versions of the command line and of the daemon."""
    client = {
        "Version": corten.__version__,
        "Python": platform.python_version(),
        "Os": "linux",
        "Arch": platform.machine(),
    }
    server: dict[str, Any] | None = None
    failure: CortenError | None = None
    try:
        answer = session.client.version()
        server = {"Version": answer["version"], "Protocol": answer["protocol"]}
    except CortenError as error:
        failure = error
    if layout:
        print(table.render_each([{"Client": client, "Server": server}], layout), end="")
    else:
        _print_section("Client: Corten", client)
        if server is not None:
            print()
            _print_section("Server: Corten", server)
    if failure is not None:
        print_error(failure)
        return 1
    return 0


def _print_section(title: str, facts: dict[str, Any]) -> None:
    print(title)
    for key, value in facts.items():
        print(f" {key + ':':<18}{value}")


@click.command("info", cls=Command, examples=("corten info", "corten info --format '{{json .}}'"))
@click.option("-f", "--format", "layout", default="", help="A Go template.")
@pass_session
def info(session: Session, layout: str) -> None:
    """Facts about the daemon and its machine."""
    facts = session.client.info()
    if layout:
        print(table.render_each([facts], layout), end="")
        return
    _print_facts(facts, 0)


def _print_facts(facts: dict[str, Any], depth: int) -> None:
    for key, value in facts.items():
        name = key.replace("_", " ") if depth else key.replace("_", " ").capitalize()
        title = f"{' ' * depth}{name}:"
        if value in ("", [], {}, None):
            continue
        if isinstance(value, dict):
            print(title)
            _print_facts(value, depth + 1)
        elif isinstance(value, list):
            print(title, ", ".join(str(item) for item in value))
        elif key in ("memory", "mem_total") and isinstance(value, int):
            print(title, human.binary_size(value))
        else:
            print(title, value)


@click.command(
    "completion", cls=Command,
    examples=(
        "corten completion bash > /usr/share/bash-completion/completions/corten",
        "corten completion zsh > /usr/share/zsh/vendor-completions/_corten",
        "corten completion fish > ~/.config/fish/completions/corten.fish",
    ),
)  # fmt: skip
@click.argument("shell", type=click.Choice(completion.SHELLS))
def completion_script(shell: str) -> None:
    """Print the completion script of a shell."""
    sys.stdout.write(completion.script(shell))


@click.command("__complete", cls=Command, hidden=True, interspersed=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete(ctx: click.Context, words: tuple[str, ...]) -> None:
    """What may follow; called by the completion scripts."""
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    for candidate in completion.candidates(root, ctx.ensure_object(Session), list(words)):
        print(candidate)


system = Group(
    "system",
    commands=[info, *checking.COMMANDS, space.df, space.prune_system],
    help="Look at the daemon, and clean up.",
)
COMMANDS: list[click.Command] = [info, version, system, completion_script, complete]
