"""The documents: what they point to is there, and commands in guides are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from corten.cli.app import root

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
GUIDES = sorted((REPOSITORY / "docs/guides").glob("*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """As they are made of headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(path.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path if not file else (path.parent / file).resolve()
        assert target.exists(), f"{path.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{path.name}: {link}"


def commands(path: Path) -> list[list[str]]:
    """The words of each ``corten …`` in a guide's blocks."""
    found = []
    for block in _BLOCK.findall(path.read_text()):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
            lexer.whitespace_split = True
            words = list(lexer)
            for start, word in enumerate(words):
                if word == "corten" and (start == 0 or words[start - 1] in ("!", "|", "&&")):
                    rest = words[start + 1 :]
                    ends = [i for i, one in enumerate(rest) if set(one) <= set("|;&<>")]
                    found.append(rest[: ends[0]] if ends else rest)
    return found


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_commands_in_guides_exist(path: Path) -> None:
    """Also those of blocks that no test runs, because they change the machine."""
    found = commands(path)
    assert found
    for words in found:
        command: click.Command = root
        context = click.Context(root, info_name="corten")
        rest = list(words)
        while isinstance(command, click.Group):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        command.make_context(words[0], rest, parent=context)
