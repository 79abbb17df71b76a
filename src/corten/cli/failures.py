"""Errors as text on standard error, and as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

import click

from corten.client.connection import CONNECT
from corten.errors import CortenError, ProgramNotExecutable, ProgramNotFound

FAILED_RUN = 125  # the daemon refused; 126 and 127 are about the program


def print_error(error: CortenError) -> None:
    """``Error response from daemon: …`` and, below it, what to do."""
    sys.stdout.flush()
    who = "corten" if error.step == CONNECT else "Error response from daemon"
    print(f"{who}: {error}", file=sys.stderr)
    if error.hint:
        print(f"Hint: {error.hint}", file=sys.stderr)


def run_code(error: CortenError) -> int:
    """The exit code of ``run``, ``create`` and ``exec`` for an error."""
    if isinstance(error, ProgramNotFound):
        return 127
    return 126 if isinstance(error, ProgramNotExecutable) else FAILED_RUN


def fail_run(error: CortenError) -> NoReturn:
    """Print and end the command as docker's ``run`` does."""
    print_error(error)
    raise click.exceptions.Exit(run_code(error))


def each(refs: Iterable[str], action: Callable[[str], str | None]) -> None:
    """Do it for every object named, print what it answers, go on after errors; exit code 1 if
    there was one."""
    failed = False
    for ref in refs:
        try:
            text = action(ref)
        except CortenError as error:
            print_error(error)
            failed = True
            continue
        if text is not None:
            print(text)
    if failed:
        raise click.exceptions.Exit(1)
