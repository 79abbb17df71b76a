"""The log of a container: a file that is appended to, rotated, opened again, and never
waited for: what the disk does not take is counted and dropped, the container goes on."""

from __future__ import annotations

import os
from errno import EINTR

from corten.errors import InvalidArgument, ResourceExhausted
from corten.launch.lines import Cri, JsonFile, Splitter
from corten.launch.messages import Log
from corten.spec.jsonlite import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from corten.launch.slumber import Bag

    class LogSink(Protocol):
        """Where the output of a container goes; chunks of a stream in order."""

        dropped: int

        def write(self, stream: str, chunk: bytes) -> None:
            """Take a chunk of ``stdout`` or ``stderr``. Never raises."""

        def finish(self, stream: str) -> None:
            """The stream has ended."""

        def reopen(self) -> None:
            """See ``messages.ReopenLog``."""

        def close(self) -> None:
            """No more will come."""

        def rest(self, bag: Bag) -> dict[str, Any]:
            """See ``slumber``; the counterpart is :func:`open_log`."""


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o640


def open_log(log: Log, rested: dict[str, Any] | None = None, bag: Bag | None = None) -> LogSink:
    """The sink of a driver.

    Arguments:
        rested, bag: what the ``rest`` of an earlier one told (see ``slumber``); None: a new one.
    Raises:
        InvalidArgument: an unknown driver.
        ResourceExhausted: the file can't be made.
    """
    if log.driver == "none":
        return NoLog()
    if log.driver == "json-file":
        attrs = dumps(log.attrs) if log.attrs else ""
        formats = (JsonFile("stdout", attrs), JsonFile("stderr", attrs))
        return LogFile(log, Splitter(formats[0]), Splitter(formats[1]), rested, bag)
    if log.driver == "cri":
        return LogFile(log, Splitter(Cri("stdout")), Splitter(Cri("stderr")), rested, bag)
    raise InvalidArgument(
        f"log driver {log.driver!r} is unknown", hint="use json-file, cri or none"
    )


class NoLog:
    """Driver ``none``."""

    dropped = 0

    def write(self, stream: str, chunk: bytes) -> None:
        """Forget it."""

    def finish(self, stream: str) -> None:
        """Nothing to do."""

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def rest(self, bag: Bag) -> dict[str, Any]:
        """Nothing is kept."""
        return {}


class LogFile:
    """A file in one of the two formats. Every record is written whole or not at all."""

    def __init__(
        self,
        log: Log,
        stdout: Splitter,
        stderr: Splitter,
        rested: dict[str, Any] | None = None,
        bag: Bag | None = None,
    ) -> None:
        self._path = log.path
        self._max_size = log.max_size
        self._max_files = max(1, log.max_files)
        self._splitters = {"stdout": stdout, "stderr": stderr}
        self._fd = -1
        self._size = 0
        self.dropped = 0
        if rested is None or bag is None:
            self.reopen()
            return
        self._fd = bag.take(rested["fd"])
        self._size = int(rested["size"])
        self.dropped = int(rested["dropped"])
        for stream, splitter in self._splitters.items():
            splitter.rest = rested["rests"][stream].encode("latin-1")

    def rest(self, bag: Bag) -> dict[str, Any]:
        """See ``slumber``."""
        rests = {name: s.rest.decode("latin-1") for name, s in self._splitters.items()}
        return {
            "fd": bag.hold(self._fd),
            "size": self._size,
            "dropped": self.dropped,
            "rests": rests,
        }

    def write(self, stream: str, chunk: bytes) -> None:
        """Append what the chunk completes."""
        records = self._splitters[stream].feed(chunk)
        if records:
            self._append(records)

    def finish(self, stream: str) -> None:
        """Append a last line without a newline."""
        records = self._splitters[stream].finish()
        if records:
            self._append(records)

    def reopen(self) -> None:
        """Open the path again; on an error the file before stays in use.

        Raises:
            ResourceExhausted: the file can't be opened.
        """
        try:
            fd = os.open(self._path, _FLAGS, _MODE)
        except OSError as error:
            raise ResourceExhausted(
                f"the log can't be opened: {error.strerror}",
                step="open log",
                path=self._path,
                errno=error.errno or 0,
            ) from None
        self.close()
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, records: bytes) -> None:
        if not self._max_size:
            self._put(records)
            return
        while records:
            room = self._max_size - self._size
            if room <= 0:
                self._rotate()
                room = self._max_size - self._size
            # As Docker: a file is full when the record that reaches its size is in it.
            end = records.find(b"\n", max(0, room - 1)) + 1 or len(records)
            self._put(records[:end])
            records = records[end:]

    def _put(self, records: bytes) -> None:
        done = 0
        while done < len(records):
            try:
                done += os.write(self._fd, records[done:] if done else records)
            except OSError as error:
                if error.errno == EINTR:
                    continue
                self._drop(len(records), done)
                return
        self._size += done

    def _drop(self, lost: int, done: int) -> None:
        """A full disk took ``done`` bytes: take them back, so that no record is torn."""
        self.dropped += lost
        if done:
            try:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            except OSError:
                self._size += done

    def _rotate(self) -> None:
        """``path`` becomes ``path.1`` and so on; a failure leaves the file as it is."""
        try:
            if self._max_files == 1:
                os.ftruncate(self._fd, 0)
                self._size = 0
                return
            for number in range(self._max_files - 1, 0, -1):
                older = f"{self._path}.{number - 1}" if number > 1 else self._path
                try:
                    os.rename(older, f"{self._path}.{number}")
                except FileNotFoundError:
                    continue
            self.reopen()
        except (OSError, ResourceExhausted):
            # Nothing but a log that grows beyond its limit; tried again with the next record.
            self._size = min(self._size, self._max_size - 1)
