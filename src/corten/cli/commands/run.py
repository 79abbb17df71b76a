"""``run``, ``create`` and ``start``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from corten.cli.attached import Attached, ContainerTarget, Stream
from corten.cli.clickext import Command
from corten.cli.failures import each, fail_run
from corten.cli.options import (
    console_size,
    container_config,
    container_options,
    detach_option,
)
from corten.cli.pulling import HELLO, ensure_image
from corten.cli.session import Session, pass_session
from corten.cli.timings import print_timings
from corten.errors import CortenError, FailedPrecondition, InvalidArgument, NotModified


@click.command(
    "run", cls=Command, interspersed=False,
    examples=(
        "corten run hello",
        "corten run -it --rm alpine sh",
        "corten run -d --name web -p 8080:80 nginx",
        "corten run --rm -v $PWD:/src -w /src python:3 python test.py",
        "corten run --rm -m 64m --cpus 0.5 busybox stress",
    ),
)  # fmt: skip
@container_options
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the id.")
@click.option("-a", "--attach", multiple=True, help="Attach to stdin, stdout or stderr.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Forward signals to the process.")
@detach_option
@click.option("--timings", is_flag=True, help="Show how long each step of the start took.")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_session
def run(session: Session, /, image: str, command: tuple[str, ...], **o: Any) -> int:
    """Create a container and run a command in it."""
    begun = time.monotonic()
    try:
        config, sides = _prepare(image, command, o)
        ensure_image(session, image, o["platform"], policy=o["pull"], quiet=o["quiet"])
        if o["detach"]:
            return _run_detached(session, config, o)
        return _run_attached(session, config, sides, o, begun)
    except CortenError as error:
        fail_run(error)


def _prepare(
    image: str, command: tuple[str, ...], o: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, bool]]:
    """The config, and which streams to attach. Checks what docker's client checks."""
    config = container_config(image, command, o)
    if o["cidfile"] and os.path.lexists(o["cidfile"]):
        raise FailedPrecondition(
            "the file for the container's id is there already", path=o["cidfile"],
            hint="make sure that the other container isn't running, or remove the file",
        )  # fmt: skip
    names = [name.lower() for name in o["attach"]]
    for name in names:
        if name not in ("stdin", "stdout", "stderr"):
            raise InvalidArgument(f"invalid stream {name!r}", hint="stdin, stdout or stderr")
    if o["detach"]:
        if names:
            raise InvalidArgument("conflicting options: -a and -d")
        return config, {}
    sides = {
        "stdin": "stdin" in names if names else o["interactive"],
        "stdout": "stdout" in names or not names,
        "stderr": "stderr" in names or not names,
    }
    config["stdin_once"] = o["interactive"]
    if o["tty"]:
        if sides["stdin"] and not os.isatty(0):
            print("the input device is not a TTY", file=sys.stderr)
            raise click.exceptions.Exit(1)
        config["console_size"] = console_size()
    return config, sides


def _run_detached(session: Session, config: dict[str, Any], o: dict[str, Any]) -> int:
    for answer in session.connection.stream(
        "run", tenant=session.tenant, config=config, name=o["name"]
    ):
        if answer.value and "created" in answer.value:
            _write_cidfile(o["cidfile"], answer.value["created"]["id"])
        if answer.value and "started" in answer.value:
            print(answer.value["started"]["id"])
            if o["timings"]:
                print_timings(answer.value["started"])
    return 0


def _run_attached(
    session: Session, config: dict[str, Any], sides: dict[str, bool], o: dict[str, Any],
    begun: float,
) -> int:  # fmt: skip
    connection = session.connection
    # A signal from here on is meant for a container that we could not name yet.
    session.console.hold()
    number = connection.begin(
        "run", tenant=session.tenant, config=config, name=o["name"], attach=True,
        wait="removed" if o["rm"] else "next-exit",
        origin={"attach": [name for name, wanted in sides.items() if wanted]}, **sides,
    )  # fmt: skip
    first = connection.receive(number)
    container_id = first.value["created"]["id"]
    _write_cidfile(o["cidfile"], container_id)
    started: dict[str, Any] = {}
    stream = Stream(first.fds[0], o["tty"], sides["stdin"], o["sig_proxy"], o["detach_keys"])
    target = ContainerTarget(session, container_id, removed=o["rm"])
    code = Attached(session, target, stream, number, started.update).follow()
    greeting = config["image"] in HELLO and "cmd" not in config
    if "started" in started and (o["timings"] or greeting):
        print_timings(started["started"], total=time.monotonic() - begun)
    return 0 if code is None else code


def _write_cidfile(path: str, container_id: str) -> None:
    if not path:
        return
    try:
        with Path(path).open("x") as file:
            file.write(container_id)
    except OSError as error:
        raise FailedPrecondition(
            f"the id {container_id} can't be written: {error.strerror}", path=path
        ) from None


@click.command(
    "create", cls=Command, interspersed=False,
    examples=("corten create --name job alpine date", "corten start -a job"),
)  # fmt: skip
@container_options
@click.option("-a", "--attach", multiple=True, help="Attach to stdin, stdout or stderr.")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_session
def create(session: Session, /, image: str, command: tuple[str, ...], **o: Any) -> int:
    """Create a container without starting it."""
    config, _ = _prepare(image, command, {**o, "detach": False, "tty": False})
    config.update(tty=o["tty"], console_size=console_size() if o["tty"] else None)
    ensure_image(session, image, o["platform"], policy=o["pull"], quiet=o["quiet"])
    record = session.connection.call(
        "create_container", tenant=session.tenant, config=config, name=o["name"]
    )
    _write_cidfile(o["cidfile"], record["id"])
    print(record["id"])
    return 0


@click.command("start", cls=Command, examples=("corten start web", "corten start -ai job"))
@click.option("-a", "--attach", is_flag=True, help="Attach to output and forward signals.")
@click.option("-i", "--interactive", is_flag=True, help="Attach standard input.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Forward signals to the process.")
@detach_option
@click.option("--timings", is_flag=True, help="Show how long each step of the start took.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@pass_session
def start(
    session: Session, containers: tuple[str, ...], attach: bool, interactive: bool,
    sig_proxy: bool, detach_keys: bytes, timings: bool,
) -> int:  # fmt: skip
    """Start containers that do not run."""
    if attach or interactive:
        if len(containers) > 1:
            raise click.UsageError("you cannot start and attach multiple containers at once")
        return _start_attached(session, containers[0], interactive, sig_proxy, detach_keys)

    def one(ref: str) -> str:
        container = session.client.containers.get(ref)
        try:
            container.start()
            if timings:
                print_timings(container.attrs)
        except NotModified:
            pass  # it runs already: that is what was asked for
        return ref

    each(containers, one)
    return 0


def _start_attached(
    session: Session, ref: str, interactive: bool, sig_proxy: bool, keys: bytes
) -> int:
    container = session.client.containers.get(ref)
    if container.status == "running":
        raise FailedPrecondition(f"container {ref} runs already", hint=f"corten attach {ref}")
    config = container.attrs["config"]
    removed = bool(config.get("auto_remove"))
    session.console.hold()  # as with run
    number = session.connection.begin(
        "start", tenant=session.tenant, ref=container.id, attach=True, stdin=interactive,
        wait="removed" if removed else "next-exit",
    )  # fmt: skip
    first = session.connection.receive(number)
    tty = bool(config.get("tty"))
    stream = Stream(first.fds[0], tty, interactive, sig_proxy and not tty, keys)
    target = ContainerTarget(session, container.id, removed=removed)
    code = Attached(session, target, stream, number).follow()
    return 0 if code is None else code


COMMANDS: list[click.Command] = [run, create, start]
