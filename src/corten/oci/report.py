"""What ``corten-oci`` tells its caller: the log that containerd and podman parse, and errors."""

from __future__ import annotations

import posix
import time

from corten.errors import CortenError
from corten.kernel.paths import fsencode
from corten.spec.jsonlite import dumps

TYPE_CHECKING = False


class Log:
    """``--log``, ``--log-format`` and ``--debug``.

    Arguments:
        path: file that lines are appended to; ``""`` is standard error.
        form: ``text`` (logrus' form) or ``json``.
        debug: whether :meth:`debug` says anything.
    """

    __slots__ = ("_debug", "_form", "_path")

    def __init__(self, path: str = "", form: str = "text", debug: bool = False) -> None:
        self._path = "" if path == "/dev/stderr" else path
        self._form = form
        self._debug = debug

    @property
    def wants_debug(self) -> bool:
        return self._debug

    def debug(self, text: str) -> None:
        if self._debug:
            self._write("debug", text)

    def warning(self, text: str) -> None:
        self._write("warning", text)

    def error(self, text: str) -> None:
        """An error goes to standard error as well, so that a person sees it."""
        self._write("error", text)
        if self._path:
            _print(text + "\n")

    def _write(self, level: str, text: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._form == "json":
            line = f'{{"level":"{level}","msg":{dumps(text)},"time":"{now}"}}\n'
        else:
            line = f'time="{now}" level={level} msg={dumps(text)}\n'
        if not self._path:
            _print(line)
            return
        flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC
        try:
            fd = posix.open(self._path, flags, 0o644)
        except OSError:
            _print(line)
            return
        try:
            posix.write(fd, fsencode(line))
        finally:
            posix.close(fd)


def _print(text: str) -> None:
    try:
        posix.write(2, fsencode(text))
    except OSError:
        pass  # nobody reads


def text_of(error: CortenError) -> str:
    """An error as one line, and what helps."""
    return f"{error} ({error.hint})" if error.hint else str(error)
