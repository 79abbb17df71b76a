"""Completion: the shells' scripts ask ``corten __complete WORD…``, one candidate a line back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from corten.cli.names import familiar
from corten.errors import CortenError

if TYPE_CHECKING:
    from corten.cli.session import Session

_BASH = """\
# bash completion for corten
_corten() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(corten __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _corten corten
"""
_ZSH = """\
#compdef corten
# zsh completion for corten
_corten() {
    local -a candidates
    candidates=(${(f)"$(corten __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#candidates} )); then compadd -a candidates; else _files; fi
}
compdef _corten corten
"""
_FISH = """\
# fish completion for corten
function __corten_complete
    set -l words (commandline -opc) (commandline -ct)
    corten __complete $words[2..-1] 2>/dev/null
end
complete -c corten -f -a '(__corten_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
SHELLS = tuple(_SCRIPTS)

_CONTAINERS = "containers"
_RUNNING = "running"
_IMAGES = "images"
_WHAT = {
    **dict.fromkeys(("start", "rm", "wait", "logs", "inspect", "port"), _CONTAINERS),
    **dict.fromkeys(
        ("stop", "kill", "restart", "pause", "unpause", "exec", "attach", "top"), _RUNNING
    ),
    **dict.fromkeys(("run", "create", "rmi"), _IMAGES),
}


def script(shell: str) -> str:
    """The script to source."""
    return _SCRIPTS[shell]


def candidates(root: click.Group, session: Session, words: list[str]) -> list[str]:
    """What may stand in the place of the last word."""
    *before, current = words or [""]
    command: click.Command = root
    group = ""
    for word in before:
        if isinstance(command, click.Group) and word in command.commands:
            group, command = command.name or "", command.commands[word]
    if current.startswith("-"):
        names = [name for p in command.params if isinstance(p, click.Option) for name in p.opts]
        return sorted(n for n in (*names, "--help") if n.startswith(current) and n.startswith("--"))
    if isinstance(command, click.Group):
        shown = [name for name, sub in command.commands.items() if not sub.hidden]
        return [name for name in shown if name.startswith(current)]
    what = _IMAGES if group == "image" else _WHAT.get(command.name or "", "")
    return [name for name in _objects(session, what) if name.startswith(current)]


def _objects(session: Session, what: str) -> list[str]:
    try:
        if what == _IMAGES:
            return [familiar(tag) for image in session.client.images.list() for tag in image.tags]
        if what:
            found = session.client.containers.list()
            return [c.name for c in found if what == _CONTAINERS or c.status == "running"]
    except CortenError:
        pass  # no daemon: no names
    return []
