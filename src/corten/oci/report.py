"""What ``corten-oci`` tells its caller: the log that containerd and podman parse, and errors."""

from __future__ import annotations

import posix
import time

from corten.errors import CortenError, ProgramNotExecutable, ProgramNotFound
from corten.kernel.paths import fsencode
from corten.spec.jsonlite import dumps

TYPE_CHECKING = False

_APPEND = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC


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

    def check(self) -> None:
        """Raises OSError where the file can't be written: whoever reads it would hear nothing."""
        if self._path:
            posix.close(posix.open(self._path, _APPEND, 0o644))

    def debug(self, text: str) -> None:
        if self._debug:
            self._write("debug", text)

    def warning(self, text: str) -> None:
        self._write("warning", text)

    def error(self, text: str, *, to_person: str = "") -> None:
        """An error goes to standard error as well, so that a person sees it.

        Arguments:
            to_person: what is said there, and said alone where the log goes there too.
        """
        if self._path or not to_person:
            self._write("error", text)
        if self._path or to_person:
            _print((to_person or text) + "\n")

    def _write(self, level: str, text: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._form == "json":
            line = f'{{"level":"{level}","msg":{dumps(text)},"time":"{now}"}}\n'
        else:
            line = f'time="{now}" level={level} msg={dumps(text)}\n'
        if not self._path:
            _print(line)
            return
        try:
            fd = posix.open(self._path, _APPEND, 0o644)
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
    """An error as one line, and what helps. Dockerd and others search for the kernel's words as
    Go writes them, all small."""
    text = f"{error} ({error.hint})" if error.hint else str(error)
    if error.errno:
        words = posix.strerror(error.errno)
        text = text.replace(words, words.lower())
    if error.from_init and not isinstance(error, (ProgramNotFound, ProgramNotExecutable)):
        failed = "error " if text.startswith("mounting ") else ""
        return f"error during container init: {failed}{text}"
    return text
