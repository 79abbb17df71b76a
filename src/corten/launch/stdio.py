"""The standard streams of one process: pipes or a terminal on one side, log and attachers
on the other."""

from __future__ import annotations

import os
from errno import EAGAIN

from corten.kernel import pty
from corten.launch.attach import Attacher
from corten.launch.loop import READ
from corten.launch.runtime import Streams
from corten.launch.stdin import Input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.logfile import LogSink
    from corten.launch.loop import Loop, Timer
    from corten.launch.slumber import Bag

CHUNK = 8192
_PIPE_MAX = 1 << 20  # what a pipe may hold when its process has ended (fs.pipe-max-size)


class Stdio:
    """Made before the process, which gets :attr:`ends`. Then, in order: :meth:`created`,
    :meth:`process_ended`, and ``drained`` is called once all output was read."""

    def __init__(
        self,
        loop: Loop,
        *,
        tty: bool,
        stdin: bool,
        stdin_once: bool,
        log: LogSink | None = None,
        discard: bool = False,
        console_size: tuple[int, int] = (0, 0),
    ) -> None:
        """
        Arguments:
            stdin: the process has one that can be typed into, else /dev/null.
            stdin_once: it ends when an attacher's does.
            log: where a copy of the output goes.
            discard: nobody will look at the output, the process gets /dev/null.
        """
        self._loop = loop
        self._tty = tty
        self._stdin_once = stdin_once and not tty
        self._log = log
        self._outputs: dict[int, str] = {}
        self._input: Input | None = None
        self._theirs: list[int] = []
        self._attachers: list[Attacher] = []
        self._paused = False
        self._ended = False
        self._grace: Timer | None = None
        self._console = -1
        self._size = console_size
        self.drained: Callable[[], None] | None = None
        if tty:
            self._input = Input(loop)
            self.ends = Streams(terminal=True, console_size=console_size)
        else:
            try:
                self.ends = self._pipes(stdin, discard)
            except BaseException:
                self.close()
                raise
        if self._input is not None:
            self._input.on_full = self._input_full

    def _pipes(self, stdin: bool, discard: bool) -> Streams:
        null = -1
        if discard or not stdin:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            self._theirs.append(null)
        fds = [null, null, null]
        if stdin:
            fds[0], mine = os.pipe2(os.O_CLOEXEC)
            self._theirs.append(fds[0])
            self._input = Input(self._loop, mine)
        if not discard:
            for number, name in ((1, "stdout"), (2, "stderr")):
                mine, fds[number] = os.pipe2(os.O_CLOEXEC)
                self._theirs.append(fds[number])
                self._outputs[mine] = name
        return Streams(stdin=fds[0], stdout=fds[1], stderr=fds[2])

    def created(self, console_fd: int) -> None:
        """The process has its ends; ``console_fd``: its terminal's master, ours from now on."""
        self._close_theirs()
        if self._tty:
            self._console = console_fd
            self._outputs[console_fd] = "stdout"
            assert self._input is not None
            self._input.open(os.dup(console_fd))  # poll knows one interest a descriptor
            if self._size != (0, 0):
                pty.set_size(console_fd, *self._size)
        for fd in self._outputs:
            os.set_blocking(fd, False)
            self._watch(fd)

    def rest(self, bag: Bag) -> dict[str, Any] | None:
        """See ``slumber``."""
        typed = self._input
        if self._attachers or self._ended or self._theirs or self._paused:
            return None
        if typed is not None and not typed.idle:
            return None
        return {
            "tty": self._tty,
            "stdin_once": self._stdin_once,
            "size": self._size,
            "outputs": [[bag.watch(fd), name] for fd, name in self._outputs.items()],
            "stdin": typed is not None,
            "input": bag.hold(typed.fileno()) if typed is not None else -1,
        }

    @classmethod
    def resume_from(cls, loop: Loop, log: LogSink, state: dict[str, Any], bag: Bag) -> Stdio:
        """Inverse of :meth:`rest`."""
        rows, columns = state["size"]
        self = cls(
            loop, tty=False, stdin=False, stdin_once=False, discard=True, log=log,
            console_size=(rows, columns),
        )  # fmt: skip
        self._close_theirs()  # the process has its ends
        self._tty, self._stdin_once = bool(state["tty"]), bool(state["stdin_once"])
        for key, name in state["outputs"]:
            fd = bag.take(key)
            self._outputs[fd] = str(name)
            if self._tty:
                self._console = fd
            self._watch(fd)
        if state["stdin"]:
            self._input = Input(loop, bag.take(state["input"]))
            if self._input.fileno() < 0:
                self._input.close()
            self._input.on_full = self._input_full
        return self

    def attach(self, *, stdin: bool, stdout: bool, stderr: bool, given: int = -1) -> int:
        """A new attacher.

        Arguments:
            given: our end of a stream socket that the client made (taken over), or -1.
        Returns: the client's end, which the caller closes; -1 where it was given.
        """
        streams = ("stdout",) * stdout + ("stderr",) * stderr
        takes = stdin and self._input is not None
        attacher = Attacher(self._loop, framed=not self._tty, streams=streams, stdin=takes)
        attacher.input = self._typed
        attacher.ready = self._resume
        attacher.gone = self._gone
        fd = attacher.open(given)
        self._attachers.append(attacher)
        if self._input is not None and self._input.full:
            attacher.pause_input(True)
        return fd

    @property
    def attached(self) -> bool:
        """Somebody is attached."""
        return bool(self._attachers)

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size, also before there is one. Nothing without a terminal."""
        self._size = (rows, columns)
        if self._console >= 0:
            pty.set_size(self._console, rows, columns)

    def close_stdin(self) -> None:
        """End of file for the process. A terminal's stdin has no end: nothing happens."""
        if self._input is not None and not self._tty:
            self._input.end()

    def process_ended(self, grace: float) -> None:
        """The process is gone: read what it left; wait up to ``grace`` seconds for others
        that hold its output open. A slow attacher holds nothing up any more."""
        self._ended = True
        if self._input is not None:
            self._input.on_full = None  # no cycle: nobody collects garbage in a monitor
            self._input.close()
        for fd in list(self._outputs):
            left = _PIPE_MAX
            while left > 0 and (read := self._read(fd)):
                left -= read
        if self._outputs:
            self._grace = self._loop.after(grace, self._give_up)
        else:
            self._finish()

    def close(self) -> None:
        """Close everything, whatever attachers did not read."""
        self._close_theirs()
        for fd in list(self._outputs):
            self._end_of(fd)
        if self._input is not None:
            self._input.close()
        for attacher in list(self._attachers):
            attacher.close()

    # --- output ------------------------------------------------------------------------

    def _watch(self, fd: int) -> None:
        if self._paused:
            self._loop.forget(fd)  # not with no events: poll would tell of its end for ever
        else:
            self._loop.watch(fd, READ, lambda _events: self._on_output(fd))

    def _on_output(self, fd: int) -> None:
        self._read(fd)
        if not self._outputs:
            if self._ended:  # else it only closed them: attachers see the end with its exit
                self._finish()
        elif any([attacher.full for attacher in self._attachers]):
            self._pause(True)

    def _read(self, fd: int) -> int:
        """Read and hand on one chunk; its size, 0: there is none now, or no more."""
        try:
            chunk = os.read(fd, CHUNK)
        except OSError as error:
            if error.errno == EAGAIN:
                return 0
            chunk = b""  # EIO: the last one closed the terminal's other side
        stream = self._outputs[fd]
        if not chunk:
            self._end_of(fd)
            return 0
        if self._log is not None:
            self._log.write(stream, chunk)
        for attacher in list(self._attachers):
            attacher.send(stream, chunk)
        return len(chunk)

    def _end_of(self, fd: int) -> None:
        stream = self._outputs.pop(fd)
        if fd == self._console:
            self._console = -1
        self._loop.close(fd)
        if self._log is not None:
            self._log.finish(stream)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        for fd in self._outputs:
            self._watch(fd)

    def _resume(self) -> None:
        if self._paused and not any([attacher.full for attacher in self._attachers]):
            self._pause(False)

    def _give_up(self) -> None:
        for fd in list(self._outputs):
            self._end_of(fd)
        self._finish()

    def _finish(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
        for attacher in list(self._attachers):
            attacher.finish()
        call, self.drained = self.drained, None
        if call is not None:
            call()

    # --- input -------------------------------------------------------------------------

    def _typed(self, _attacher: Attacher, data: bytes) -> None:
        if self._input is None:
            return
        if data:
            self._input.write(data)
        elif self._stdin_once:
            self._input.end()

    def _input_full(self, full: bool) -> None:
        for attacher in self._attachers:
            attacher.pause_input(full)

    def _gone(self, attacher: Attacher) -> None:
        self._attachers.remove(attacher)
        self._resume()

    def _close_theirs(self) -> None:
        for fd in self._theirs:
            os.close(fd)
        self._theirs.clear()
