"""``attach`` and ``exec``."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from corten.cli import parse
from corten.cli.attached import Attached, ContainerTarget, ExecTarget, Stream
from corten.cli.clickext import Command
from corten.cli.failures import print_error
from corten.cli.options import console_size, detach_option
from corten.cli.session import Session, pass_session
from corten.errors import CortenError, FailedPrecondition, ProgramNotFound
from corten.spec.frames import EXEC_FAILED

_DETACHED = "read escape sequence"


@click.command(
    "attach", cls=Command,
    examples=("corten attach web", "corten attach --no-stdin --sig-proxy=false web"),
)  # fmt: skip
@click.option("--no-stdin", is_flag=True, help="Do not attach standard input.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Forward signals to the process.")
@detach_option
@click.argument("container")
@pass_session
def attach(
    session: Session, container: str, no_stdin: bool, sig_proxy: bool, detach_keys: bytes
) -> int:
    """Attach to a running container's standard streams."""
    found = session.client.containers.get(container)
    config = found.attrs["config"]
    if found.status == "paused":
        raise FailedPrecondition(
            "you cannot attach to a paused container, unpause it first",
            hint=f"corten unpause {container}",
        )
    if found.status != "running":
        raise FailedPrecondition(
            "you cannot attach to a stopped container, start it first",
            hint=f"corten start -a {container}",
        )
    tty, stdin = bool(config.get("tty")), bool(config.get("open_stdin")) and not no_stdin
    if tty and stdin and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    target = ContainerTarget(session, found.id, removed=False)
    number = target.wait_again(session.connection)
    fd = session.connection.call_for_fd(
        "attach_container", tenant=session.tenant, ref=found.id, stdin=stdin
    )
    if tty:
        _resize(session, target)
    stream = Stream(fd, tty, stdin, sig_proxy and not tty, detach_keys)
    return _code(Attached(session, target, stream, number).follow())


def _resize(session: Session, target: ContainerTarget) -> None:
    """The window's size now; changes are reported by the thin client."""
    size = console_size()
    if size is not None:
        target.resize(session.connection, *size)


def _code(code: int | None) -> int:
    if code is None:
        print(_DETACHED, file=sys.stderr)
        return 1
    return code


@click.command(
    "exec", cls=Command, interspersed=False,
    examples=("corten exec -it web sh", "corten exec -u postgres db psql -c 'select 1'"),
)  # fmt: skip
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Allocate a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@click.option("-e", "--env", multiple=True, metavar="list", help="Set environment variables.")
@click.option("--env-file", multiple=True, metavar="list", help="Read in a file of them.")
@click.option("-u", "--user", default="", help="User name or id.")
@click.option("-w", "--workdir", default="", help="Working directory inside.")
@click.option("--privileged", is_flag=True, help="Give the process all privileges.")
@detach_option
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def exec_(
    session: Session, container: str, command: tuple[str, ...], interactive: bool, tty: bool,
    detach: bool, env: tuple[str, ...], env_file: tuple[str, ...], user: str, workdir: str,
    privileged: bool, detach_keys: bytes,
) -> int:  # fmt: skip
    """Run a command in a running container."""
    if tty and interactive and not detach and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    config = {
        "args": list(command),
        "env": parse.env(env, env_file),
        "user": user,
        "working_dir": workdir,
        "tty": tty,
        "attach_stdin": interactive and not detach,
        "attach_stdout": not detach,
        "attach_stderr": not detach,
        "privileged": privileged,
        "console_size": console_size() if tty and not detach else None,
    }
    return _execute(session, container, config, detach=detach, keys=detach_keys)


def shell(session: Session, container: str, command: tuple[str, ...]) -> int:
    """A program with the caller's terminal in a running container; its exit code."""
    config = {
        "args": list(command),
        "tty": True,
        "attach_stdin": True,
        "attach_stdout": True,
        "attach_stderr": True,
        "console_size": console_size(),
    }
    return _execute(session, container, config, detach=False, keys=b"")


def _execute(
    session: Session, container: str, config: dict[str, Any], *, detach: bool, keys: bytes
) -> int:
    connection = session.connection
    try:
        number = connection.begin(
            "run_exec", tenant=session.tenant, ref=container, config=config,
            stream=not detach, wait=not detach,
        )  # fmt: skip
        first = connection.receive(number)
        if detach:
            connection.receive(number)  # from then on others see that it runs
            return 0
        target = ExecTarget(session, first.value["started"]["id"])
        stream = Stream(first.fds[0], config["tty"], config["attach_stdin"], False, keys)
        return _code(Attached(session, target, stream, number).follow())
    except CortenError as error:
        if not error.message.startswith(EXEC_FAILED):
            raise
        print_error(error)
        return 127 if isinstance(error, ProgramNotFound) else 126


COMMANDS: list[click.Command] = [exec_, attach]
