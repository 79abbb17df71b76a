#!/usr/bin/env python3
"""The manual, from the code: docs/reference in Markdown, and man pages for an installation.

    tools/manual.py reference            # write docs/reference
    tools/manual.py man DIRECTORY        # write DIRECTORY/man1 and DIRECTORY/man8

The commands' own definitions say everything: usage, options, texts, examples. So what is written
can't differ from what ``--help`` says; tests/unit/tools holds docs/reference against it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
if "corten" not in sys.modules and (REPOSITORY / "src/corten").is_dir():
    sys.path.insert(0, str(REPOSITORY / "src"))
sys.path.insert(0, str(REPOSITORY))

import click  # noqa: E402

from corten.cli.app import root  # noqa: E402
from corten.daemon import arguments  # noqa: E402
from corten.oci import cli as oci  # noqa: E402
from corten.oci import cli_help  # noqa: E402

REFERENCE = REPOSITORY / "docs/reference"


class Page(NamedTuple):
    """One command.

    Fields:
        path: its words, ``("corten", "network", "ls")``.
        options: pairs of names and text.
        commands: pairs of a subcommand's last word and its short text.
        same: the words of the command that it is another name of; empty: none.
        text: in the place of everything else, as it is.
    """

    path: tuple[str, ...]
    short: str
    usage: str
    paragraphs: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    examples: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    text: str = ""

    @property
    def name(self) -> str:
        """As of a file: ``corten-network-ls``."""
        return "-".join(self.path)

    @property
    def section(self) -> int:
        """Of the manual: 1 for everybody's commands, 8 for the system's."""
        return 1 if self.path[0] == "corten" else 8


def pages() -> list[Page]:
    """Every command that is not hidden, ``corten`` first, then the other programs."""
    context = click.Context(root, info_name="corten")
    found = _pages(root, context, ("corten",), {})
    return [*found, _daemon(), *_runtime()]


def _pages(
    command: click.Command, context: click.Context, path: tuple[str, ...],
    known: dict[int, tuple[str, ...]],
) -> list[Page]:  # fmt: skip
    key = id(command.callback or command)
    same = known.setdefault(key, path)
    found = [_page(command, context, path, () if same == path else same)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.commands[name]
            if not sub.hidden:
                inner = click.Context(sub, info_name=name, parent=context)
                found += _pages(sub, inner, (*path, name), known)
    return found


def _page(
    command: click.Command, context: click.Context, path: tuple[str, ...], same: tuple[str, ...]
) -> Page:
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = [one.get_help_record(context) for one in options]
    subs = command.commands if isinstance(command, click.Group) else {}
    text = (command.help or "").replace("\b", "").strip()
    return Page(
        path=path,
        short=command.get_short_help_str(limit=1000).rstrip("."),
        usage=" ".join([" ".join(path), *command.collect_usage_pieces(context)]),
        paragraphs=tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip()),
        options=tuple((record[0], record[1]) for record in records if record is not None),
        commands=tuple(
            (name, subs[name].get_short_help_str(limit=1000).rstrip("."))
            for name in (command.list_commands(context) if isinstance(command, click.Group) else ())
            if not subs[name].hidden
        ),
        examples=tuple(getattr(command, "examples", ())),
        same=same,
    )


def _daemon() -> Page:
    parser = arguments.parser()
    options = []
    for action in parser._actions:
        default = f" (default {action.default})" if isinstance(action.default, str) else ""
        default = "" if default.endswith("==SUPPRESS==)") else default
        value = " PATH" if action.nargs is None else ""
        options.append((", ".join(action.option_strings) + value, f"{action.help}{default}"))
    return Page(
        path=("cortend",),
        short="the daemon of Corten",
        usage="cortend [OPTIONS]",
        paragraphs=(
            "Serves the native protocol, the Docker API and CRI below its state directory. "
            "Containers do not depend on it: it may be stopped, killed and restarted. SIGTERM "
            "stops it, SIGHUP reads the log level again.",
        ),
        options=tuple(options),
    )


def _runtime() -> list[Page]:
    name = "corten-oci"
    overview = cli_help.show(name, oci._GLOBAL)
    parts = [cli_help.show_command(name, one, oci._options(one)) for one in oci._COMMANDS]
    return [
        Page(
            path=(name,),
            short="an OCI runtime with the command line of runc",
            usage="corten-oci [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]",
            text="\n".join([overview, *parts]),
        )
    ]


def write_man(directory: Path) -> list[Path]:
    """The man pages; which files they are."""
    from tools import manual_roff

    written = []
    for page in pages():
        path = directory / f"man{page.section}" / f"{page.name}.{page.section}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manual_roff.render(page))
        written.append(path)
    return written


def reference() -> dict[str, str]:
    """The files of docs/reference, by name."""
    from tools import manual_config, manual_markdown

    every = pages()
    commands = [page for page in every if page.path[0] == "corten"]
    return {
        "commands.md": manual_markdown.commands(commands),
        "cortend.md": manual_markdown.single(every[-2]),
        "corten-oci.md": manual_markdown.single(
            next(p for p in every if p.path[0] == "corten-oci")
        ),
        "config.md": manual_config.render(),
    }


def main(argv: list[str] | None = None) -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("reference", "man"))
    parser.add_argument("directory", nargs="?")
    args = parser.parse_args(argv)
    if args.what == "man":
        write_man(Path(args.directory))
        return 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in reference().items():
        (REFERENCE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
