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
# Loaded by compinit this file is the function itself, which is called right now.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _corten "$@"
else
    compdef _corten corten
fi
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

# What follows a command, by its words; alone or in a group.
_OF_CONTAINERS = (
    *("start", "rm", "wait", "logs", "inspect", "port", "rename", "update", "stats", "cp", "diff"),
    *("export", "commit"),
)
_OF_RUNNING = ("stop", "kill", "restart", "pause", "unpause", "exec", "attach", "top")
_OF_IMAGES = ("run", "create", "rmi", "save", "tag", "push", "history")
_WHAT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_CONTAINERS, ("container",)),
    **dict.fromkeys(_OF_RUNNING, ("running",)),
    **dict.fromkeys(_OF_IMAGES, ("image",)),
    **dict.fromkeys(("inspect", "explain"), ("container", "image", "volume", "network")),
    "network connect": ("network", "container"),
    "network disconnect": ("network", "container"),
    "network explain": ("container",),
    "pod inspect": ("pod",),
}
_GROUPS = {"image": "image", "volume": "volume", "network": "network"}
_NOTHING_KNOWN = ("create", "ls", "prune", "pull", "load", "import", "from-host")
# Options whose value is an object.
_VALUES = {
    "--network": "network", "--volumes-from": "container", "--link": "container",
}  # fmt: skip


def script(shell: str) -> str:
    """The script to source."""
    return _SCRIPTS[shell]


def candidates(root: click.Group, session: Session, words: list[str]) -> list[str]:
    """What may stand in the place of the last word."""
    *before, current = words or [""]
    command: click.Command = root
    path: list[str] = []
    for word in before:
        if isinstance(command, click.Group) and word in command.commands:
            path, command = [*path, word], command.commands[word]
    if before and not current.startswith("-"):
        values = _values(command, before[-1], session)
        if values is not None:
            return [value for value in values if value.startswith(current)]
    if current.startswith("-"):
        names = [name for p in command.params if isinstance(p, click.Option) for name in p.opts]
        return sorted(n for n in (*names, "--help") if n.startswith(current) and n.startswith("--"))
    if isinstance(command, click.Group):
        shown = [name for name, sub in command.commands.items() if not sub.hidden]
        return [name for name in shown if name.startswith(current)]
    found = [name for what in kinds(path) for name in _objects(session, what)]
    if not found and not kinds(path):
        found = _choices(command)
    return [name for name in dict.fromkeys(found) if name.startswith(current)]


def kinds(path: list[str]) -> tuple[str, ...]:
    """Of which objects the arguments of a command are names."""
    known = _WHAT.get(" ".join(path))
    if known is not None:
        return known
    group, last = ("", *path)[-2:]
    if group in _GROUPS:
        return () if last in _NOTHING_KNOWN else (_GROUPS[group],)
    return _WHAT.get(last, ()) if group in ("", "container") else ()


def _values(command: click.Command, word: str, session: Session) -> list[str] | None:
    """The values of the option ``word``; None: it takes none, or is none."""
    for param in command.params:
        if isinstance(param, click.Option) and word in param.opts and not param.is_flag:
            if isinstance(param.type, click.Choice):
                return [str(choice) for choice in param.type.choices]
            return _objects(session, _VALUES[word]) if word in _VALUES else []
    return None


def _choices(command: click.Command) -> list[str]:
    """Of an argument that is one of several words."""
    return [
        str(choice)
        for param in command.params
        if isinstance(param, click.Argument) and isinstance(param.type, click.Choice)
        for choice in param.type.choices
    ]


def _objects(session: Session, what: str) -> list[str]:
    """Names of objects that there are; none without a daemon, which is not started for it."""
    try:
        client = session.if_running()
        if client is None:
            return []
        if what == "image":
            return [familiar(tag) for image in client.images.list() for tag in image.tags]
        if what == "volume":
            return [volume.name for volume in client.volumes.list()]
        if what == "network":
            return [network.name for network in client.networks.list()]
        if what == "pod":
            return [pod.name for pod in session.of_tenant("k8s").pods.list()]
        found = client.containers.list()
        return [c.name for c in found if what == "container" or c.status == "running"]
    except CortenError:
        return []
