"""Commands about containers' files: ``cp``, ``diff``, ``export``, ``commit``."""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO

import click

from corten.cli import localfiles
from corten.cli.clickext import Command
from corten.cli.session import Session, pass_session
from corten.client import Container
from corten.client.records import Transfer
from corten.errors import CortenError, InvalidArgument, NotFound

_DIRECTORY = 1 << 31  # of Go's os.FileMode
_LINK = 1 << 27
_KINDS = "CAD"


def split(text: str) -> tuple[str, str]:
    """``CONTAINER:PATH``, or ``""`` and a local path (which may have a colon behind a slash)."""
    if os.path.isabs(text):
        return "", text
    container, colon, path = text.partition(":")
    if not colon or container.startswith("."):
        return "", text
    return container, path


@click.command(
    "cp", cls=Command,
    examples=(
        "corten cp web:/var/log/nginx .",
        "corten cp page.html web:/usr/share/nginx/html/",
        "corten cp web:/etc/nginx - | tar t",
    ),
)  # fmt: skip
@click.option("-a", "--archive", is_flag=True, help="Keep owners.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Of the source.")
@click.option("-q", "--quiet", is_flag=True, hidden=True)
@click.argument("source")
@click.argument("target")
@pass_session
def cp(
    session: Session, source: str, target: str, archive: bool, follow: bool, quiet: bool
) -> None:
    """Copy files from or to a container, running or not. ``-`` is a tar archive."""
    from_container, from_path = split(source)
    to_container, to_path = split(target)
    if from_container and to_container:
        raise InvalidArgument("copying between containers is not supported")
    if from_container:
        container = session.client.containers.get(from_container)
        try:
            _out(container, from_path, to_path, archive=archive, follow=follow)
        except NotFound as error:
            if error.message != f"Could not find the file {from_path}":
                raise
            raise NotFound(f"{error.message} in container {from_container}") from None
    elif to_container:
        container = session.client.containers.get(to_container)
        _in(container, from_path, to_path, archive=archive, follow=follow)
    else:
        raise InvalidArgument("must specify at least one container source")


# out -----------------------------------------------------------------------------------------


def _out(container: Container, source: str, target: str, *, archive: bool, follow: bool) -> None:
    source = source or "/"
    if follow:
        found = container.stat(source)
        if found["mode"] & _LINK:
            renamed = os.path.basename(source.rstrip("/"))
            source = found.get("link_target") or source
            if os.path.isdir(target):
                target = os.path.join(target, renamed)
    transfer = container.copy_out(source)
    if target == "-":
        carry_out(transfer, sys.stdout.buffer)
        return
    is_directory = bool(transfer.value["mode"] & _DIRECTORY)
    name = transfer.value["name"]
    contents = name in (".", "/")
    with os.fdopen(transfer.fd, "rb") as stream:
        place = _place(target, name, is_directory=is_directory, contents=contents)
        unpack = localfiles.unpack
        if contents:
            os.makedirs(place, exist_ok=True)
            unpack = localfiles.unpack_contents
        try:
            unpack(stream, place, owners=archive)
        except CortenError:
            raise
        except Exception as error:
            _finish(transfer)  # it knows better
            raise InvalidArgument(f"{place}: {error}") from None
        while stream.read(1 << 20):
            pass
    transfer.finish()


def _finish(transfer: Transfer) -> None:
    transfer.finish()


def _place(target: str, name: str, *, is_directory: bool, contents: bool) -> str:
    """What the archive's top becomes, by docker's rules."""
    if os.path.isdir(target):
        return target if contents else os.path.join(target, name)
    if os.path.exists(target):
        if is_directory:
            raise InvalidArgument("cannot copy directory")
        return target
    if not is_directory and target.endswith(("/", "/.")):
        raise NotFound("no such directory")
    parent = os.path.dirname(os.path.abspath(target.rstrip("/")))
    if not os.path.isdir(parent):
        raise InvalidArgument(f'invalid output path: directory "{parent}" does not exist')
    return target.rstrip("/")


def carry_out(transfer: Transfer, out: IO[bytes]) -> None:
    """Everything of a transfer into a file."""
    with os.fdopen(transfer.fd, "rb") as stream:
        shutil.copyfileobj(stream, out, 1 << 20)
    out.flush()
    transfer.finish()


# in ------------------------------------------------------------------------------------------


def _in(container: Container, source: str, target: str, *, archive: bool, follow: bool) -> None:
    target = target or "/"
    if source == "-":
        transfer = container.copy_in(target, keep_owner=archive)
        with os.fdopen(transfer.fd, "wb") as stream:
            _copy_all(sys.stdin.buffer, stream)
        transfer.finish()
        return
    contents = source.endswith(("/.",)) or source == "."
    if follow and os.path.islink(source.rstrip("/")):
        name = os.path.basename(source.rstrip("/"))
        source = os.path.realpath(source)
    else:
        name = os.path.basename(os.path.abspath(source))
    if not os.path.lexists(source):
        raise NotFound(f"lstat {os.path.abspath(source)}: no such file or directory")
    is_directory = os.path.isdir(source) and (contents or not os.path.islink(source))
    directory, top = _inner_place(container, target, name, is_directory=is_directory,
                                  contents=contents)  # fmt: skip
    transfer = container.copy_in(directory, keep_owner=archive)
    try:
        with os.fdopen(transfer.fd, "wb") as stream:
            localfiles.pack(stream, source, top)
    except BrokenPipeError:
        pass  # the answer says why
    transfer.finish()


def _inner_place(
    container: Container, target: str, name: str, *, is_directory: bool, contents: bool
) -> tuple[str, str]:
    """The directory inside, and the name that the source gets there."""
    try:
        found = container.stat(target)
        if found["mode"] & _LINK:
            target = found.get("link_target") or target
            found = container.stat(target)
    except NotFound:
        if not is_directory and target.endswith(("/", "/.")):
            raise NotFound("no such directory") from None
        parent, base = os.path.split(target.rstrip("/").removesuffix("/."))
        return parent or "/", base
    if found["mode"] & _DIRECTORY:
        return target, "." if contents and is_directory else name
    if is_directory:
        raise InvalidArgument("cannot copy directory")
    parent, base = os.path.split(target)
    return parent or "/", base


def _copy_all(source: IO[bytes], out: IO[bytes]) -> None:
    try:
        shutil.copyfileobj(source, out, 1 << 20)
    except BrokenPipeError:
        return  # the answer says why


def carry_in(transfer: Transfer, source: IO[bytes]) -> None:
    """A whole file into a transfer."""
    try:
        with os.fdopen(transfer.fd, "wb") as stream:
            _copy_all(source, stream)
    except BrokenPipeError:
        return


# the rest ------------------------------------------------------------------------------------


@click.command("diff", cls=Command, examples=("corten diff web",))
@click.argument("container")
@pass_session
def diff(session: Session, container: str) -> None:
    """What a container changed: A added, C changed, D deleted."""
    for change in session.client.containers.get(container).changes():
        print(f"{_KINDS[change['kind']]} {change['path']}")


@click.command("export", cls=Command, examples=("corten export -o web.tar web",))
@click.option("-o", "--output", default="", help="A file instead of standard output.")
@click.argument("container")
@pass_session
def export(session: Session, container: str, output: str) -> None:
    """A container's file system as a tar archive."""
    refuse_terminal(output)
    to_file(session.client.containers.get(container).export(), output)


def refuse_terminal(output: str) -> None:
    """Archives are nothing to look at."""
    if not output and sys.stdout.isatty():
        raise InvalidArgument("cowardly refusing to save to a terminal: use -o or redirect")


def to_file(transfer: Transfer, output: str) -> None:
    """A transfer into a file, which appears when it is whole, or to standard output."""
    if not output:
        carry_out(transfer, sys.stdout.buffer)
        return
    partial = f"{output}.partial-{os.getpid()}"
    try:
        with open(partial, "wb") as file:  # noqa: PTH123  # the caller's own file
            carry_out(transfer, file)
        os.rename(partial, output)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


@click.command(
    "commit", cls=Command,
    examples=("corten commit web web:patched", "corten commit -c 'CMD [\"sh\"]' web web:shell"),
)  # fmt: skip
@click.option("-a", "--author", default="", help="Who made it.")
@click.option("-m", "--message", default="", help="Why.")
@click.option("-c", "--change", "changes", multiple=True, help="A Dockerfile instruction.")
@click.option("-p", "--pause/--no-pause", default=True, help="Stop its processes meanwhile.")
@click.argument("container")
@click.argument("name", required=False, default="")
@pass_session
def commit(
    session: Session, container: str, name: str, author: str, message: str,
    changes: tuple[str, ...], pause: bool,
) -> None:  # fmt: skip
    """Make an image of what a container changed."""
    made = session.client.containers.get(container).commit(
        name, author=author, comment=message, changes=changes, pause=pause
    )
    print(made["id"])


COMMANDS: list[click.Command] = [cp, diff, export, commit]
