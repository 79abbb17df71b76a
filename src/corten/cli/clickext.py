"""click, as docker's users expect it: ``--flag=false``, examples in the help, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from corten.errors import CortenError

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Command(click.Command):
    """A command with examples below its options.

    Arguments:
        examples: command lines, and comments that begin with ``#``.
        interspersed: whether options may follow arguments; not where a container's own
            command line does.
    """

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), interspersed: bool = True, **kwargs: Any
    ) -> None:
        kwargs["context_settings"] = {
            **kwargs.get("context_settings", {}),
            "allow_interspersed_args": interspersed,
            "help_option_names": ["--help"],
        }
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self._interspersed = interspersed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _go_booleans(self, ctx, args, self._interspersed))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.examples:
            return
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"  {line}\n")


class Group(click.Group):
    """A group of commands, listed in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"{name!r} is not a {ctx.command_path} command.", ctx)
        return super().resolve_command(ctx, args)


def _go_booleans(
    command: click.Command, ctx: click.Context, args: list[str], interspersed: bool
) -> list[str]:
    """Rewrite ``--flag=true`` and ``--flag=false`` as click knows them, up to the arguments
    that are not ours."""
    options = {
        name: option
        for option in command.get_params(ctx)
        if isinstance(option, click.Option)
        for name in option.opts
    }
    rewritten: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--" or not (word.startswith("-") and len(word) > 1):
            rewritten.append(word)
            if word == "--" or not interspersed:
                return rewritten + rest
            continue
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is not None and option.is_flag and equals:
            rewritten += _flag(option, name, value)
            continue
        rewritten.append(word)
        if not equals and rest and _takes_next(word, options):
            rewritten.append(rest.pop(0))
    return rewritten


def _flag(option: click.Option, name: str, value: str) -> list[str]:
    if value not in (*_TRUE, *_FALSE):
        raise click.BadParameter(f"{value!r} is not true or false", param=option)
    if value in _TRUE:
        return [name]
    return [option.secondary_opts[0]] if option.secondary_opts else []


def _takes_next(word: str, options: dict[str, click.Option]) -> bool:
    """Whether the option's value is the next word: ``--name x``, ``-itp 80``, not ``-p80``."""
    if word.startswith("--"):
        option = options.get(word)
        return option is not None and not option.is_flag and not option.count
    for index, letter in enumerate(word[1:], start=1):
        option = options.get(f"-{letter}")
        if option is None:
            return False
        if not option.is_flag:
            return index == len(word) - 1
    return False


class Value(click.ParamType[Any]):
    """A parameter that a function of :mod:`corten.cli.parse` understands."""

    def __init__(self, name: str, function: Callable[[str], Any]) -> None:
        self.name = name
        self._function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._function(value)
        except CortenError as error:
            hint = f" ({error.hint})" if error.hint else ""
            self.fail(f"{error}{hint}", param, ctx)
