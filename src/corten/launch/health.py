"""Health checks: a process in the container now and then, and what its exit codes mean.

::

    starting ──0──▶ healthy ◀──0── unhealthy
        └─ so many failures in a row, those of the start period not counted ─▶ unhealthy

A container without one has no object of this module.
"""

from __future__ import annotations

from time import time_ns

from corten.errors import CortenError, NotFound
from corten.launch import messages
from corten.launch.execs import GRACE
from corten.launch.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.children import Children
    from corten.launch.loop import Loop, Timer
    from corten.launch.messages import Health
    from corten.launch.runtime import Process, Runtime
    from corten.launch.slumber import Bag
    from corten.launch.statefile import StateFile

_KEPT = 5  # results, as many as Docker shows
_LONGEST = 4096  # bytes of output that are kept of one
_FAILED = -1  # the code of a check that could not run, or took too long


class _Output:
    """The beginning of what a check prints."""

    dropped = 0

    def __init__(self) -> None:
        self.data = b""

    def write(self, _stream: str, chunk: bytes) -> None:
        """Take it, as far as there is room."""
        self.data += chunk[: _LONGEST - len(self.data)]

    def finish(self, stream: str) -> None:
        """Nothing to do."""

    def rest(self, bag: Bag) -> dict[str, Any]:
        """Never asked: who is checked does not rest."""
        return {}

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class HealthChecks:
    """The checks of one run; nothing to be closed: they end with the container's processes."""

    def __init__(
        self,
        check: Health,
        loop: Loop,
        children: Children,
        runtime: Runtime,
        state: StateFile,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._check = check
        self._loop = loop
        self._children = children
        self._runtime = runtime
        self._state = state
        self._tell = tell
        self._process: Process | None = None
        self._stdio: Stdio | None = None
        self._output = _Output()
        self._timer: Timer | None = None
        self._begun = 0
        self._late = False
        state.record["health"] = {"status": "starting", "streak": 0, "log": []}
        self._wait()

    def _wait(self) -> None:
        self._loop.after(self._pause(), self._probe)

    def _pause(self) -> float:
        check = self._check
        if check.start_interval and self._starting() and self._in_start_period(time_ns()):
            return check.start_interval
        return check.interval

    def _starting(self) -> bool:
        status: str = self._state.record["health"]["status"]
        return status == "starting"

    def _in_start_period(self, moment: int) -> bool:
        begun: int = self._state.record["started_at"]
        return (moment - begun) / 1e9 < self._check.start_period

    # --- one check ---------------------------------------------------------------------

    def _probe(self) -> None:
        if self._state.record["status"] == "exited":
            return
        if self._state.record["status"] != "running":  # frozen, so would be the check
            self._wait()
            return
        self._begun, self._late, self._output = time_ns(), False, _Output()
        try:
            stdio = self._stdio = Stdio(
                self._loop, tty=False, stdin=False, stdin_once=False, log=self._output
            )
            self._run(stdio)
        except (CortenError, OSError) as error:
            self._output.write("stderr", str(error).encode())
            self._result(_FAILED)

    def _run(self, stdio: Stdio) -> None:
        try:
            process = self._runtime.exec("health", self._check.process, stdio.ends)
        except BaseException:
            stdio.close()
            raise
        self._process = process
        self._children.expect(process, self._ended)
        stdio.created(process.console_fd)
        self._timer = self._loop.after(self._check.timeout, self._too_late)

    def _too_late(self) -> None:
        self._late = True
        if self._process is not None:
            try:
                self._process.signal(9)
            except NotFound:
                return  # it has ended at this moment

    def _ended(self) -> None:
        assert self._process is not None and self._stdio is not None
        if self._timer is not None:
            self._timer.cancel()
        code, _signal = self._process.reap() or (255, 0)
        self._process.close()
        self._process = None
        if self._late:
            code = _FAILED
            timeout = _duration(self._check.timeout)
            self._output.data = f"Health check exceeded timeout ({timeout})".encode()
        self._stdio.drained = lambda: self._result(code)
        self._stdio.process_ended(GRACE if not self._late else 0)

    def _result(self, code: int) -> None:
        record = self._state.record
        if record["status"] == "exited":
            return
        health = record["health"]
        if code == 0:
            health.update(status="healthy", streak=0)
        elif not (self._starting() and self._in_start_period(self._begun)):
            health["streak"] += 1
            if health["streak"] >= self._check.retries:
                health["status"] = "unhealthy"
        entry = {
            "start": self._begun,
            "end": time_ns(),
            "code": code,
            "output": self._output.data.decode("utf-8", "replace"),
        }
        health["log"] = [*health["log"], entry][-_KEPT:]
        checked = messages.HealthChecked(
            status=health["status"], streak=health["streak"], result=entry
        )
        self._tell(messages.EVENT_HEALTH, checked.to_dict())
        self._wait()


def _duration(seconds: float) -> str:
    """As Go writes it."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h" * (hours > 0) + f"{minutes}m" * (hours + minutes > 0) + f"{rest:g}s"
