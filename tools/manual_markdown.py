"""Pages of the manual in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.manual import Page

_WRITTEN = "<!-- written by tools/manual.py from the code; change it there -->\n"


def commands(pages: Sequence[Page]) -> str:
    """One document of all commands."""
    top = pages[0]
    parts = [
        f"# The command line\n\n{_WRITTEN}",
        "Each command prints its part of this with `--help`; `man corten-run` shows it too.\n",
        f"```\n{top.usage}\n```\n",
        _table("option", top.options),
        _overview(pages),
    ]
    targets = {page.path: "-".join(page.same or page.path) for page in pages}
    parts += [_section(page, targets) for page in pages[1:] if not page.same]
    return "\n".join(part for part in parts if part)


def _overview(pages: Sequence[Page]) -> str:
    rows = ["| command | what it does |", "|---|---|"]
    for page in pages[1:]:
        target = page.same or page.path
        name = " ".join(page.path)
        rows.append(f"| [`{name}`](#{'-'.join(target)}) | {_cell(page.short)} |")
    return "\n".join(rows) + "\n"


def single(page: Page) -> str:
    """A document of one page."""
    head = f"# {' '.join(page.path)}\n\n{_WRITTEN}\n"
    if page.text:
        return f"{head}{_sentence(page.short)}\n\n```\n{page.text.rstrip()}\n```\n"
    return head + _body(page, {})


def _section(page: Page, targets: Mapping[tuple[str, ...], str]) -> str:
    return f"## {' '.join(page.path)}\n\n{_body(page, targets)}"


def _body(page: Page, targets: Mapping[tuple[str, ...], str]) -> str:
    parts = ["\n\n".join(page.paragraphs) + "\n" if page.paragraphs else ""]
    parts.append(f"```\n{page.usage}\n```\n")
    if page.commands:
        links = [f"[`{name}`](#{targets[(*page.path, name)]})" for name, _ in page.commands]
        parts.append(f"Commands: {', '.join(links)}\n")
    else:
        parts.append(_table("option", page.options))
    if page.examples:
        parts.append("```sh\n" + "\n".join(page.examples) + "\n```\n")
    return "\n".join(part for part in parts if part)


def _table(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    shown = [(name, text) for name, text in pairs if not name.endswith("--help")]
    if not shown:
        return ""
    rows = [f"| {title} | |", "|---|---|"]
    rows += [f"| `{name.replace('|', '&#124;')}` | {_cell(text)} |" for name, text in shown]
    return "\n".join(rows).replace("`-", "`-") + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
