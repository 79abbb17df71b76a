"""Go's text templates, as far as ``--format`` is used: parsing.

A template is a list of nodes; :mod:`corten.cli.template_eval` executes it. Understood:
text, ``{{.Field.Sub}}``, ``{{$.Field}}``, variables (``:=``), pipes, calls, parentheses,
``if``/``else if``/``else``, ``range`` (with index and value), ``with``, comments and the trim marks
``{{-`` and ``-}}``.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from corten.errors import InvalidArgument

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<variable>\$\w*)
    | (?P<field>(?:\.\w+)+|\.)
    | (?P<name>\w+)
    | (?P<mark>:=|[|(),=])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}


class Text(NamedTuple):
    text: str


class Output(NamedTuple):
    pipeline: Pipeline


class If(NamedTuple):
    pipeline: Pipeline
    then: list[Any]
    otherwise: list[Any]
    scoped: bool  # `with`: dot becomes the value


class Range(NamedTuple):
    pipeline: Pipeline
    names: tuple[str, ...]
    body: list[Any]
    otherwise: list[Any]


class Pipeline(NamedTuple):
    """``variable := command | command``; each command is a list of operands."""

    variable: str
    commands: list[list[Any]]


class Literal(NamedTuple):
    value: Any


class Field(NamedTuple):
    """``.A.B``, or ``$v.A.B`` with ``variable``; ``base`` for ``(pipeline).A``."""

    variable: str
    names: tuple[str, ...]
    base: Pipeline | None = None


class Function(NamedTuple):
    name: str


def parse(source: str) -> list[Any]:
    """The template's nodes. Raises InvalidArgument with the part that is wrong."""
    parser = _Parser(_split(source))
    nodes, word = parser.block(())
    if word:
        raise _bad(f"unexpected {{{{{word}}}}}")
    return nodes


def _bad(text: str) -> InvalidArgument:
    return InvalidArgument(f"template parsing error: {text}", step="--format")


def _split(source: str) -> list[tuple[str, str]]:
    """``(kind, content)`` where kind is ``text`` or ``action``; trim marks are applied."""
    parts: list[tuple[str, str]] = []
    position, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[position : match.start()]
        if trim:
            text = text.lstrip()
        if match[1]:
            text = text.rstrip()
        trim = bool(match[3])
        position = match.end()
        if text:
            parts.append(("text", text))
        content = match[2].strip()
        if not content.startswith("/*"):
            parts.append(("action", content))
    text = source[position:]
    if "{{" in text:
        raise _bad("unclosed action")
    if text:
        parts.append(("text", text.lstrip() if trim else text))
    return parts


class _Parser:
    def __init__(self, parts: list[tuple[str, str]]) -> None:
        self._parts = parts
        self._index = 0

    def block(self, ends: tuple[str, ...]) -> tuple[list[Any], str]:
        """Nodes until an action that begins with one of ``ends``; that action's text."""
        nodes: list[Any] = []
        while self._index < len(self._parts):
            kind, content = self._parts[self._index]
            self._index += 1
            if kind == "text":
                nodes.append(Text(content))
                continue
            word = content.split(None, 1)[0] if content else ""
            if word in ends:
                return nodes, content
            if word in ("end", "else"):
                raise _bad(f"unexpected {{{{{word}}}}}")
            nodes.append(self._action(word, content))
        if ends:
            raise _bad("unexpected EOF: {{end}} is missing")
        return nodes, ""

    def _action(self, word: str, content: str) -> Any:
        rest = content[len(word) :]
        if word in ("if", "with"):
            return self._condition(_pipeline(rest), scoped=word == "with")
        if word == "range":
            return self._range(rest)
        return Output(_pipeline(content))

    def _condition(self, pipeline: Pipeline, *, scoped: bool) -> If:
        then, end = self.block(("else", "end"))
        otherwise: list[Any] = []
        if end.startswith("else"):
            chained = end[4:].strip()
            if chained.startswith(("if ", "with ")):
                word, rest = chained.split(None, 1)
                otherwise = [self._condition(_pipeline(rest), scoped=word == "with")]
            else:
                otherwise, _ = self.block(("end",))
        return If(pipeline, then, otherwise, scoped)

    def _range(self, rest: str) -> Range:
        names: tuple[str, ...] = ()
        head, assign, tail = rest.partition(":=")
        if assign:
            names = tuple(name.strip() for name in head.split(","))
            rest = tail
        body, end = self.block(("else", "end"))
        otherwise: list[Any] = []
        if end.startswith("else"):
            otherwise, _ = self.block(("end",))
        return Range(_pipeline(rest), names, body, otherwise)


def _pipeline(source: str) -> Pipeline:
    tokens = _tokens(source)
    variable = ""
    if len(tokens) > 1 and tokens[0][0] == "variable" and tokens[1][1] in (":=", "="):
        variable = tokens[0][1]
        tokens = tokens[2:]
    pipeline, rest = _commands(tokens)
    if rest:
        raise _bad(f"unexpected {rest[0][1]!r} in {source.strip()!r}")
    return Pipeline(variable, pipeline)


def _tokens(source: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    source = source.rstrip()
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise _bad(f"unexpected {source[position:].strip()[:20]!r}")
        kind = match.lastgroup or ""
        text = match[kind]
        glued = bool(tokens) and match.start(kind) == position and kind == "field"
        if glued and tokens[-1][0] in ("variable", "mark") and tokens[-1][1] not in ("(", "|"):
            kind = "glued"
        tokens.append((kind, text))
        position = match.end()
    return tokens


def _commands(tokens: list[tuple[str, str]]) -> tuple[list[list[Any]], list[tuple[str, str]]]:
    """Commands until the end or a closing parenthesis; what follows."""
    commands: list[list[Any]] = [[]]
    while tokens:
        kind, text = tokens[0]
        if text == ")" and kind == "mark":
            break
        tokens = tokens[1:]
        if kind == "mark" and text == "|":
            commands.append([])
        elif kind == "mark" and text == "(":
            inner, tokens = _commands(tokens)
            if not tokens:
                raise _bad("unclosed left paren")
            tokens = tokens[1:]
            commands[-1].append(Field("", (), Pipeline("", inner)))
        elif kind == "glued":
            commands[-1][-1] = _extend(commands[-1][-1], text)
        else:
            commands[-1].append(_operand(kind, text))
    if not all(commands):
        raise _bad("missing value for command")
    return commands, tokens


def _extend(operand: Any, text: str) -> Field:
    if not isinstance(operand, Field):
        raise _bad(f"unexpected {text!r}")
    return operand._replace(names=operand.names + tuple(text[1:].split(".")))


def _operand(kind: str, text: str) -> Any:
    if kind == "string":
        return Literal(text[1:-1] if text[0] == "`" else _unescape(text[1:-1]))
    if kind == "number":
        return Literal(float(text) if "." in text else int(text))
    if kind == "variable":
        return Field(text, ())
    if kind == "field":
        return Field("", tuple(name for name in text.split(".") if name))
    if kind == "name":
        words = {"true": True, "false": False, "nil": None}
        return Literal(words[text]) if text in words else Function(text)
    raise _bad(f"unexpected {text!r}")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text)


def unescape_format(text: str) -> str:
    """``\\t`` and ``\\n`` as people type them in a shell, outside of a template's strings."""
    return text.replace("\\t", "\t").replace("\\n", "\n")
