"""The help of ``corten-oci`` and of its commands, from the tables that they parse with."""

from __future__ import annotations

from corten.oci.cliargs import SWITCH

TYPE_CHECKING = False

_CONTAINER = "<container-id>"
# command: (its arguments, what it does)
_TEXTS = {
    "create": (_CONTAINER, "create a container; its program waits for start"),
    "run": (_CONTAINER, "create and run a container"),
    "start": (_CONTAINER, "execute the program of a created container"),
    "exec": (f"{_CONTAINER} <command> [arguments]", "execute a process inside a container"),
    "state": (_CONTAINER, "print the state of a container"),
    "list": ("", "list the containers below the root"),
    "kill": (f"{_CONTAINER} [signal]", "send a signal (default SIGTERM) to a container's init"),
    "delete": (_CONTAINER, "delete a container that has stopped, and what it holds"),
    "ps": (f"{_CONTAINER} [ps options]", "list the processes inside a container"),
    "pause": (_CONTAINER, "suspend all processes of a container"),
    "resume": (_CONTAINER, "resume what was paused"),
    "update": (_CONTAINER, "change the resource limits of a container"),
    "events": (_CONTAINER, "print statistics and OOM kills of a container"),
    "checkpoint": (_CONTAINER, "not offered yet"),
    "restore": (_CONTAINER, "not offered yet"),
    "spec": ("", "write a config.json to start from"),
    "features": ("", "print what this runtime offers"),
}


def show(program: str, options: dict[str, int]) -> str:
    """The overview.

    Arguments:
        program: the name that we were called by.
        options: the global ones.
    """
    width = max([len(name) for name in _TEXTS])
    return "\n".join(
        [
            "NAME:",
            f"   {program} - Open Container Initiative runtime",
            "",
            "USAGE:",
            f"   {program} [global options] command [options] [arguments]",
            "",
            "COMMANDS:",
            *[f"   {name.ljust(width)}  {text}" for name, (_, text) in _TEXTS.items()],
            "",
            "GLOBAL OPTIONS:",
            *_listed(options),
            "",
            "Commands and options are those of runc(8).",
            "",
        ]
    )


def show_command(program: str, command: str, options: dict[str, int]) -> str:
    """The help of one command; ``options`` are its own."""
    arguments, text = _TEXTS[command]
    usage = arguments.replace(_CONTAINER, "CONTAINER").replace("<command>", "cmd")
    return "\n".join(
        [
            "NAME:",
            f"   {program} {command} - {text}",
            "",
            f"Usage: {program} [OPTION...] {command} {usage}",
            "",
            "OPTIONS:",
            *_listed(options),
            "",
        ]
    )


def _listed(options: dict[str, int]) -> list[str]:
    return [f"   --{name}{'' if kind == SWITCH else ' value'}" for name, kind in options.items()]
