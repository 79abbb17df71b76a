"""The command line: its root, and how errors become text and exit codes."""

from __future__ import annotations

import signal
import sys

import click

import corten
from corten.cli.clickext import Group
from corten.cli.commands import (
    attach,
    changes,
    copy,
    explaining,
    images,
    lifecycle,
    networks,
    pods,
    run,
    show,
    space,
    system,
    volumes,
)
from corten.cli.console import Console
from corten.cli.failures import print_error
from corten.cli.session import TENANTS, Session
from corten.errors import CortenError

_USAGE = 125


@click.group(
    cls=Group, context_settings={"help_option_names": ["--help"]}, invoke_without_command=True
)
@click.option("--state", metavar="DIRECTORY", help="The daemon's state directory.")
@click.option("-H", "--host", metavar="HOST", help="The daemon's socket.")
@click.option(
    "--tenant", type=click.Choice(TENANTS), default="docker", show_default=True,
    help="Whose containers and images.",
)  # fmt: skip
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def root(
    ctx: click.Context, state: str | None, host: str | None, tenant: str, version: bool
) -> None:
    """Containers and pods, from the image to the process.

    \b
    Try:  corten run hello
    """
    ctx.ensure_object(Session).tenant = tenant  # state and host were read by the thin client
    if version:
        click.echo(f"corten version {corten.__version__}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _add_all() -> None:
    for command in (
        run.COMMANDS + lifecycle.COMMANDS + attach.COMMANDS + show.COMMANDS + changes.COMMANDS
    ):
        root.add_command(command)
    for command in copy.COMMANDS + images.TOP_LEVEL + explaining.COMMANDS + system.COMMANDS:
        root.add_command(command)
    root.add_command(
        Group(
            "container",
            commands=run.COMMANDS
            + lifecycle.COMMANDS
            + attach.COMMANDS
            + changes.COMMANDS
            + show.OF_CONTAINERS
            + copy.COMMANDS
            + [space.prune_containers],
            help="Manage containers.",
        )
    )
    root.add_command(images.group)
    root.add_command(networks.group)
    root.add_command(pods.group)
    root.add_command(volumes.group)


_add_all()


def run_command(argv: list[str], console: Console, state: str | None) -> int:
    """Run one command line; its exit code. Errors are printed."""
    return run_session(argv, Session(console, state))


def run_session(argv: list[str], session: Session) -> int:
    """:func:`run_command` with what it works with."""
    try:
        with root.make_context("corten", argv, obj=session) as ctx:
            code = root.invoke(ctx)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        return 128 + signal.SIGINT
    except click.ClickException as error:
        return _usage(error)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except CortenError as error:
        print_error(error)
        return 1


def _usage(error: click.ClickException) -> int:
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx is not None else "corten"
    sys.stdout.flush()
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        text = f"unknown flag: {error.option_name}"
        if not error.option_name.startswith("--"):
            text = f"unknown shorthand flag: {error.option_name[1:2]!r} in {error.option_name}"
        if error.possibilities:
            text += f" (is it {' or '.join(sorted(error.possibilities))}?)"
    print(f"corten: {text}", file=sys.stderr)
    print(f"See '{command} --help'.", file=sys.stderr)
    wrong_flag = isinstance(error, (click.NoSuchOption, click.BadOptionUsage)) or (
        isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter)
    )
    return _USAGE if wrong_flag else 1
