"""A page of the manual in the language of man(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import corten

if TYPE_CHECKING:
    from tools.manual import Page


def render(page: Page) -> str:
    """The whole file."""
    if page.same:
        return f".so man1/{'-'.join(page.same)}.1\n"
    title = page.name.upper()
    lines = [
        f'.TH "{title}" {page.section} "" "Corten {corten.__version__}" "Corten"',
        ".SH NAME",
        f"{escape(page.name)} \\- {escape(page.short)}",
    ]
    if page.text:
        lines += [".SH DESCRIPTION", *_literal(page.text.splitlines())]
        return "\n".join(lines) + "\n"
    lines += [".SH SYNOPSIS", f".B {escape(page.usage)}"]
    if page.paragraphs:
        lines.append(".SH DESCRIPTION")
        for number, paragraph in enumerate(page.paragraphs):
            lines += [*([".PP"] if number else []), escape(paragraph)]
    lines += _listed("COMMANDS", page.commands)
    lines += _listed("OPTIONS", page.options)
    if page.examples:
        lines += [".SH EXAMPLES", *_literal(page.examples)]
    return "\n".join([*lines, *_see_also(page)]) + "\n"


def _listed(heading: str, pairs: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f".SH {heading}"] if pairs else []
    for name, text in pairs:
        lines += [".TP", f".B {escape(name)}", escape(text)]
    return lines


def _literal(rows: tuple[str, ...] | list[str]) -> list[str]:
    return [".nf", *[escape(row) for row in rows], ".fi"]


def _see_also(page: Page) -> list[str]:
    """The pages above and below it."""
    names = ["-".join(page.path[:-1])] if len(page.path) > 1 else []
    names += [f"{page.name}-{name}" for name, _ in page.commands]
    names += ["cortend(8)", "corten-oci(8)"] if page.path == ("corten",) else []
    names += ["corten"] if page.path == ("cortend",) else []
    shown = [escape(name if name.endswith(")") else f"{name}(1)") for name in names]
    return [".SH SEE ALSO", ", ".join(shown)] if shown else []


def escape(text: str) -> str:
    """So that it is printed as it is (groff_char(7)): a hyphen to be copied is ``\\-``."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    shown = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in shown)
    return f"\\&{shown}" if shown[:1] in (".", "'") else shown
