"""The command line of ``corten-oci``: runc's commands and options.

This module imports next to nothing: for a command that forks into a container the first
interpreter only puts itself out of reach (``guard``) and starts again.
"""

from __future__ import annotations

import gc
import posix
import sys

from corten.errors import AlreadyExists, CortenError, InvalidArgument
from corten.oci import begin, onefile
from corten.oci.begin import DEFAULT_ROOT
from corten.oci.cliargs import SWITCH, VALUE, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.cliargs import Arguments
    from corten.oci.report import Log

# ours is said as a plain command, so that scripts find it beside runc's
NAME = "corten-oci"

_GLOBAL = {
    "root": VALUE,
    "log": VALUE,
    "log-format": VALUE,
    "debug": SWITCH,
    "systemd-cgroup": SWITCH,
    "cgroup-manager": VALUE,  # crun's word for it
    "rootless": VALUE,
    "criu": VALUE,
    "version": SWITCH,
    "help": SWITCH,
}
_SHORT = {"v": "version", "h": "help"}

# command: (module, function)
_COMMANDS = {
    "create": ("cli_run", "create"),
    "run": ("cli_run", "run"),
    "start": ("cli_start", "start"),
    "exec": ("cli_exec", "exec_"),
    "state": ("cli_manage", "state"),
    "list": ("cli_manage", "list_"),
    "kill": ("cli_manage", "kill"),
    "delete": ("cli_manage", "delete"),
    "ps": ("cli_manage", "ps"),
    "pause": ("cli_manage", "pause"),
    "resume": ("cli_manage", "resume"),
    "update": ("cli_update", "update"),
    "events": ("cli_events", "events"),
    "spec": ("cli_info", "spec"),
    "features": ("cli_info", "features"),
}
_FORKING = ("create", "run", "exec")
_LATER = ("checkpoint", "restore")
# what a failure of `exec` itself is told by, apart from the program's own code
_EXEC_FAILED = 255
_UNKNOWN = 3  # no such command, as with runc


class Settings:
    """What every command is given.

    Attributes:
        root: directory of the containers' states.
        log: where messages go.
        cgroups: who makes them: ``cgroupfs``, ``systemd``, or ``disabled``: nobody.
        host_mounts: descriptor of the host's mount namespace, -1 if we are in it.
    """

    __slots__ = ("cgroups", "host_mounts", "log", "root")

    @property
    def root_given(self) -> bool:
        """Whether it is another than the usual one, which need not exist yet."""
        return self.root != DEFAULT_ROOT

    def __init__(self, root: str, log: Log, *, cgroups: str, host_mounts: int) -> None:
        self.root = root
        self.log = log
        self.cgroups = cgroups
        self.host_mounts = host_mounts


def main() -> int:
    """Run the command of ``sys.argv``; its exit code."""
    argv = sys.argv
    try:
        given = parse(argv[1:], _GLOBAL, short=_SHORT, until_word=True)
    except CortenError as error:
        return _complain(str(error))
    command = given.words[0] if given.words else ""
    if given.switch("version"):
        return _version()
    if given.switch("help") or command in ("", "help", "h"):
        return _help(given.words[1] if len(given.words) > 1 else "")
    if _asks_for_help(given.words):
        return _help(command)
    gc.disable()  # see onefile.entry
    root = given.text("root", DEFAULT_ROOT)
    host = -1
    if command in _FORKING and begin.early() is None:
        host = protect(argv, root)
    code = _run(given, command, root, host)
    if not onefile.used():
        from corten.oci.onefilewriter import refresh

        refresh()
    posix._exit(code)  # the interpreter's own end takes 1.4 ms, and nothing is buffered


def protect(argv: list[str], root: str) -> int:
    """Start again where a container can't reach us; the descriptor of the host's mount
    namespace when that is done, -1 where it is not possible."""
    from corten.oci import guard

    host = guard.host_mounts()
    if host < 0:
        try:
            guard.protect(argv, root)
        except OSError as error:
            return _unprotected(error)
    return host


def _unprotected(error: OSError) -> int:
    """Without the rights to mount there is no container either: the error comes from there."""
    posix.write(2, f"{NAME}: the interpreter can't be protected: {error}\n".encode())
    return -1


def _asks_for_help(words: list[str]) -> bool:
    return len(words) > 1 and words[1] in ("--help", "-h", "-help")


def _run(given: Arguments, command: str, root: str, host: int) -> int:
    from corten.oci.report import Log, text_of

    form = given.text("log-format", "text")
    if form not in ("text", "json"):
        return _complain(f'invalid log-format "{form}": must be either text or json')
    cgroups = given.text("cgroup-manager", "cgroupfs")
    if cgroups not in ("cgroupfs", "systemd", "disabled"):
        return _complain(f'unknown cgroup manager "{cgroups}"')
    if given.switch("systemd-cgroup"):
        cgroups = "systemd"
    log = Log(given.text("log"), form, given.switch("debug"))
    try:
        log.check()
    except OSError as error:
        return _complain(f"--log {given.text('log')}: {(error.strerror or '').lower()}")
    settings = Settings(_absolute(root), log, cgroups=cgroups, host_mounts=host)
    try:
        return int(_function(command)(settings, given.words[1:]))
    except CortenError as error:
        # an interpreter that is missing is the program's own failure, told as a shell would
        last = command == "run" and error.message.startswith("exec /")
        log.error(
            _sentence(command, error, text_of(error)), to_person=error.message if last else ""
        )
    except BrokenPipeError:
        pass  # whoever read our output has gone
    finally:
        unused = begin.early()
        if unused is not None:
            unused.discard()
    if command not in _COMMANDS and command not in _LATER:
        return _UNKNOWN
    return _EXEC_FAILED if command == "exec" else 1


def _function(command: str):  # type: ignore[no-untyped-def]  # (Settings, list[str]) -> int
    if command not in _COMMANDS:
        from corten.errors import Unimplemented

        if command in _LATER:
            raise Unimplemented(f"{NAME} {command} is not offered yet")
        raise InvalidArgument(f"No help topic for '{command}'")
    module, name = _COMMANDS[command]
    return getattr(__import__(f"corten.oci.{module}", None, None, [name]), name)


def _sentence(command: str, error: CortenError, text: str) -> str:
    """As runc words it; containerd and dockerd search these texts."""
    if command not in _FORKING:
        return text
    who = "exec" if command == "exec" else f"{called()} {command}"
    if isinstance(error, AlreadyExists) or error.message.startswith("cannot exec in a "):
        return f"{who} failed: {text}"  # nothing was begun
    return f"{who} failed: unable to start container process: {text}"


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{posix.getcwd()}/{path}"


def _complain(text: str) -> int:
    posix.write(2, f"{called()}: {text}\n".encode())
    return 1


def called() -> str:
    """The name that we were called by: a link named ``runc`` says what runc would."""
    name = sys.argv[0].rpartition("/")[2]
    return name if name and not name.startswith("-") and not name.endswith(".py") else NAME


def _version() -> int:
    from corten import __version__
    from corten.spec.runtime import VERSION

    lines = f"{called()} version {__version__}\ncommit: v{__version__}\nspec: {VERSION}\n"
    posix.write(1, lines.encode())
    return 0


def _help(command: str) -> int:
    from corten.oci import cli_help

    try:
        if not command:
            text = cli_help.show(called(), _GLOBAL)
        else:
            text = cli_help.show_command(called(), command, _options(command))
    except CortenError as error:
        return _complain(str(error))
    posix.write(1, text.encode())
    return 0


def _options(command: str) -> dict[str, int]:
    """The table that a command parses with: it bears the command's name."""
    if command in _LATER:
        return {"help": SWITCH}
    if command not in _COMMANDS:
        raise InvalidArgument(f"No help topic for '{command}'")
    module = _COMMANDS[command][0]
    name = command.upper()
    table: dict[str, int] = getattr(__import__(f"corten.oci.{module}", None, None, [name]), name)
    return table
