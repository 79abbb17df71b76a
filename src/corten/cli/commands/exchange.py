"""Commands that take images away and bring them back: archives, registries, logins."""

from __future__ import annotations

import getpass
import sys

import click

from corten.cli import credentials, pulling
from corten.cli.clickext import Command
from corten.cli.commands.copy import carry_in, refuse_terminal, to_file
from corten.cli.names import canonical, familiar
from corten.cli.session import Session, pass_session
from corten.errors import InvalidArgument, NotFound

_HUB = "https://index.docker.io/v1/"


@click.command("save", cls=Command, examples=("corten save -o web.tar web:1 web:2",))
@click.option("-o", "--output", default="", help="A file instead of standard output.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@pass_session
def save(session: Session, names: tuple[str, ...], output: str) -> None:
    """Images as an archive, which docker, skopeo and podman read, too."""
    refuse_terminal(output)
    to_file(session.client.images.save(names), output)


@click.command("load", cls=Command, examples=("corten load -i web.tar", "corten load <web.tar.gz"))
@click.option("-i", "--input", "source", default="", help="A file instead of standard input.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@pass_session
def load(session: Session, source: str, quiet: bool) -> None:
    """Images from an archive: docker's or an OCI layout, packed or not."""
    if not source and sys.stdin.isatty():
        raise InvalidArgument("requested load from stdin, but stdin is empty")
    transfer = session.client.images.load()
    if source:
        with open(source, "rb") as file:  # noqa: PTH123  # the caller's own file
            carry_in(transfer, file)
    else:
        carry_in(transfer, sys.stdin.buffer)
    for image in transfer.finish():
        names = image.get("names", ())
        for name in names:
            print(f"Loaded image: {familiar(name)}")
        if not names:
            print(f"Loaded image ID: {image['id']}")


@click.command(
    "import", cls=Command,
    examples=("corten import root.tar base:1", "corten export web | corten import - web:flat"),
)  # fmt: skip
@click.option("-c", "--change", "changes", multiple=True, help="A Dockerfile instruction.")
@click.option("-m", "--message", default="", help="A comment.")
@click.option("--platform", default="", help="Instead of this machine's.")
@click.argument("source")
@click.argument("name", required=False, default="")
@pass_session
def import_archive(
    session: Session, source: str, name: str, changes: tuple[str, ...], message: str, platform: str
) -> None:
    """Make an image of a file system's archive. ``-`` is standard input."""
    transfer = session.client.images.import_archive(
        name, changes=changes, comment=message, platform=platform
    )
    if source == "-":
        carry_in(transfer, sys.stdin.buffer)
    else:
        with open(source, "rb") as file:  # noqa: PTH123  # the caller's own file
            carry_in(transfer, file)
    print(transfer.finish()["id"])


@click.command("tag", cls=Command, examples=("corten tag web:1 registry.example/web:1",))
@click.argument("source")
@click.argument("target")
@pass_session
def tag(session: Session, source: str, target: str) -> None:
    """Give an image one more name."""
    session.client.images.tag(source, target)


@click.command("push", cls=Command, examples=("corten push registry.example/web:1",))
@click.option("-a", "--all-tags", "everything", is_flag=True, help="All tags of the name.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--disable-content-trust", is_flag=True, hidden=True)
@click.argument("name")
@pass_session
def push(
    session: Session, name: str, everything: bool, quiet: bool, disable_content_trust: bool
) -> None:
    """Put an image into the registry that its name says."""
    names = [canonical(name)]
    if everything:
        names = list(session.client.images.names(name))
        if not names:
            raise NotFound(f"An image does not exist locally with the tag: {name}")
    elif not quiet and canonical(name) != name and ":" not in name.rsplit("/", 1)[-1]:
        print("Using default tag: latest")
    known = credentials.for_image(names[0], credentials.default_path())
    for one in names:
        sink = pulling.sink(sys.stdout, quiet=quiet)
        try:
            session.client.images.push(one, auth=known, progress=sink.update)
        finally:
            sink.close()
        if quiet:
            print(familiar(one) if names[0].startswith("docker.io/") else one)


@click.command("login", cls=Command, examples=("corten login registry.example -u me",))
@click.option("-u", "--username", default="", help="Who.")
@click.option("-p", "--password", default="", help="Better: --password-stdin.")
@click.option("--password-stdin", "stdin", is_flag=True, help="Read it from standard input.")
@click.argument("server", required=False, default="")
@pass_session
def login(session: Session, server: str, username: str, password: str, stdin: bool) -> None:
    """Log in to a registry; docker's config.json and its helpers keep what is needed."""
    if stdin and password:
        raise InvalidArgument("--password and --password-stdin are mutually exclusive")
    if stdin and not username:
        raise InvalidArgument("Must provide --username with --password-stdin")
    if password:
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
              file=sys.stderr)  # fmt: skip
    key = credentials.key_of(server)
    if stdin:
        password = sys.stdin.read().rstrip("\r\n")
    if not username:
        username = _ask("Username: ")
    if not password:
        password = _ask_password()
    if not username or not password:
        raise InvalidArgument("username and password are required")
    session.client.check_login(server or "docker.io",
                               {"username": username, "password": password})  # fmt: skip
    where = credentials.store(key, username, password)
    if where:
        print(
            f"WARNING! Your password will be stored unencrypted in {where}.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/engine/reference/commandline/login/#credentials-store\n",
            file=sys.stderr,
        )
    print("Login Succeeded")


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise InvalidArgument("Cannot perform an interactive login from a non TTY device")
    return input(prompt).strip()


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise InvalidArgument("Cannot perform an interactive login from a non TTY device")
    return getpass.getpass("Password: ")


@click.command("logout", cls=Command, examples=("corten logout registry.example",))
@click.argument("server", required=False, default="")
def logout(server: str) -> None:
    """Forget what was stored for a registry."""
    key = credentials.key_of(server)
    shown = server or _HUB
    if credentials.erase(key):
        print(f"Removing login credentials for {shown}")
    else:
        print(f"Not logged in to {shown}")


TOP_LEVEL: list[click.Command] = [save, load, import_archive, tag, push, login, logout]
OF_IMAGES: list[click.Command] = [save, load, import_archive, tag, push]
