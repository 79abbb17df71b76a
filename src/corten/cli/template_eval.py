"""Go's text templates: execution over dictionaries, with the functions docker offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from corten.cli import template as t
from corten.errors import InvalidArgument
from corten.spec import jsonlite


def render(nodes: list[Any], data: Any) -> str:
    """Execute a parsed template. Raises InvalidArgument: no such field, wrong call."""
    out: list[str] = []
    _Scope(data, {"$": data}).run(nodes, out)
    return "".join(out)


def _bad(text: str) -> InvalidArgument:
    return InvalidArgument(f"template: {text}", step="--format")


class _Scope:
    """Dot and the variables at one place of the template."""

    def __init__(self, dot: Any, variables: dict[str, Any]) -> None:
        self._dot = dot
        self._variables = variables

    def run(self, nodes: list[Any], out: list[str]) -> None:
        for node in nodes:
            if isinstance(node, t.Text):
                out.append(node.text)
            elif isinstance(node, t.Output):
                value = self._pipeline(node.pipeline)
                if not node.pipeline.variable:
                    out.append(show(value))
            elif isinstance(node, t.If):
                self._if(node, out)
            else:
                self._range(node, out)

    def _if(self, node: t.If, out: list[str]) -> None:
        value = self._pipeline(node.pipeline)
        if not truth(value):
            self.run(node.otherwise, out)
            return
        dot = value if node.scoped else self._dot
        _Scope(dot, dict(self._variables)).run(node.then, out)

    def _range(self, node: t.Range, out: list[str]) -> None:
        value = self._pipeline(node.pipeline)
        if isinstance(value, Mapping):
            pairs = sorted(value.items())
        else:
            pairs = list(enumerate(value or ()))
        if not pairs:
            self.run(node.otherwise, out)
        for key, item in pairs:
            variables = dict(self._variables)
            names = node.names
            if names:
                variables[names[-1]] = item
            if len(names) > 1:
                variables[names[0]] = key
            _Scope(item, variables).run(node.body, out)

    def _pipeline(self, pipeline: t.Pipeline) -> Any:
        value: Any = None
        for index, command in enumerate(pipeline.commands):
            value = self._command(command, [value] if index else [])
        if pipeline.variable:
            self._variables[pipeline.variable] = value
        return value

    def _command(self, operands: list[Any], piped: list[Any]) -> Any:
        first = operands[0]
        arguments = [self._operand(operand) for operand in operands[1:]] + piped
        if isinstance(first, t.Function):
            return call(first.name, arguments)
        if arguments:
            raise _bad(f"can't give arguments to {show(self._operand(first))!r}")
        return self._operand(first)

    def _operand(self, operand: Any) -> Any:
        if isinstance(operand, t.Literal):
            return operand.value
        if isinstance(operand, t.Function):
            return call(operand.name, [])
        if operand.base is not None:
            value = self._pipeline(operand.base)
        elif operand.variable:
            if operand.variable not in self._variables:
                raise _bad(f"undefined variable {operand.variable!r}")
            value = self._variables[operand.variable]
        else:
            value = self._dot
        for name in operand.names:
            value = _field(value, name)
        return value


class Map(dict[str, Any]):
    """A mapping whose keys are data (labels, attributes): one that is not there is no mistake."""


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Map):
        return value.get(name)
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        raise _bad(f"there is no field {name!r}; there are {', '.join(map(str, sorted(value)))}")
    if value is None:
        raise _bad(f"nil has no field {name!r}")
    raise _bad(f"{show(value)!r} has no field {name!r}")


def truth(value: Any) -> bool:
    """Go's idea of it: empty and zero are false."""
    return bool(value)


def show(value: Any) -> str:
    """As fmt.Print writes a value."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def _printf(layout: str, *values: Any) -> str:
    shown = tuple(value if isinstance(value, (int, float)) else show(value) for value in values)
    try:
        return layout.replace("%v", "%s").replace("%q", '"%s"') % shown
    except (TypeError, ValueError) as error:
        raise _bad(f"printf {layout!r}: {error}") from None


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        try:
            value = value[key]
        except KeyError:
            return None
        except (IndexError, TypeError) as error:
            raise _bad(f"index {show(key)}: {error}") from None
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    return value[start:end]


def _truncate(value: Any, length: int) -> str:
    return show(value)[:length]


def _compare(symbol: str) -> Callable[[Any, Any], bool]:
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }
    return tests[symbol]


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": jsonlite.dumps,
    "join": lambda items, separator: separator.join(show(item) for item in items or ()),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: show(text).lower(),
    "upper": lambda text: show(text).upper(),
    "title": lambda text: show(text).title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else "",
    "truncate": _truncate,
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "print": lambda *values: "".join(show(value) for value in values),
    "printf": _printf,
    "len": len,
    "index": _index,
    "slice": _slice,
    "not": lambda value: not truth(value),
    "and": _and,
    "or": _or,
    "eq": lambda value, *others: value in others,
    "ne": lambda one, other: one != other,
    **{symbol: _compare(symbol) for symbol in ("lt", "le", "gt", "ge")},
}


def call(name: str, arguments: list[Any]) -> Any:
    """One of the functions. Raises InvalidArgument: unknown, or not for these arguments."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise _bad(f"function {name!r} not defined; there are {', '.join(sorted(FUNCTIONS))}")
    try:
        return function(*arguments)
    except TypeError as error:
        raise _bad(f"{name}: {error}") from None
