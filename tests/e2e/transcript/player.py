"""Plays cases against a docker daemon and writes down what the command line did."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pexpect

from tests.e2e.transcript.steps import Case, Record, Run, Terminal, Until
from tests.support import eventually

_SECONDS = 60
_NORMAL = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?"), "<time>"),
    # the command line's complaint about a process that was faster than its resize
    (re.compile(r"failed to resize tty, using default size\r\n"), ""),
    (re.compile(r"\b(Less than a second|\d+ seconds?|About a minute)\b"), "<while>"),
)


@dataclass(frozen=True)
class Player:
    """Where to play.

    Arguments:
        host: ``DOCKER_HOST``.
        cli: the docker command line.
        names: what ``{box}`` and the like stand for.
    """

    host: str
    cli: str
    names: dict[str, str]

    def play(self, case: Case) -> list[Record]:
        """Run all commands of a case; its containers are gone afterwards."""
        directory = tempfile.mkdtemp(prefix="corten-t-", dir="/tmp")
        Path(directory).chmod(0o755)
        names = {**self.names, "dir": directory, "began": f"{time.time():.6f}"}
        records: list[Record] = []
        try:
            for step in case.steps:
                argv = [self.cli, *(_fill(word, names) for word in shlex.split(step.line))]
                if isinstance(step, Until):
                    self._until(argv, step.text)
                    continue
                record = self._run(argv, step) if isinstance(step, Run) else self._tty(argv, step)
                for key in ("stdout", "stderr", "screen"):
                    if key in record:
                        record[key] = _normal(record[key], names)
                if isinstance(step, Run) and step.says:
                    _check_error(record, step)
                records.append({"line": step.line, **record})
        finally:
            self.clean()
            shutil.rmtree(directory, ignore_errors=True)
        return records

    def clean(self) -> None:
        """Remove every container, also one without a name that a failed case left: the daemon
        is the suite's own, and later cases list what there is."""
        listed = self._docker("ps", "-aq")
        if listed.split():
            self._docker("rm", "-f", *listed.split())
        volumes = self._docker("volume", "ls", "-q")
        if volumes.split():
            self._docker("volume", "rm", *volumes.split())

    def environment(self) -> dict[str, str]:
        """The command line's environment; nothing of the caller's but the search path."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": "/nonexistent",
            "TERM": "xterm",
        }

    def _docker(self, *args: str) -> str:
        done = subprocess.run(
            [self.cli, *args], env=self.environment(), capture_output=True, text=True, timeout=120
        )
        return done.stdout

    def _until(self, argv: list[str], text: str) -> None:
        eventually(lambda: text in self._docker(*argv[1:]), deadline=30, what=f"{argv}: {text}")

    def _run(self, argv: list[str], step: Run) -> Record:
        with tempfile.TemporaryFile() as feed:
            feed.write(step.stdin or b"")
            feed.seek(0)
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if step.stdin is None else feed,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self.environment(), **step.env},
            )
            watch = threading.Timer(_SECONDS, process.kill)
            watch.start()
            try:
                out, err = _collect(process, step)
            finally:
                watch.cancel()
        out = "" if step.quiet else out
        return {"exit": process.returncode, "stdout": out, "stderr": err}

    def _tty(self, argv: list[str], step: Terminal) -> Record:
        child = pexpect.spawn(
            argv[0], argv[1:], env=self.environment(), dimensions=(24, 80), timeout=_SECONDS
        )
        screen = b""
        try:
            for act, value in step.acts:
                if act == "expect":
                    child.expect_exact(value)
                    screen += child.before + child.after
                elif act == "send":
                    child.send(value)
                elif act == "resize":
                    screen += _resize(child, *map(int, value.split()))
                else:
                    raise ValueError(act)
            if not child.flag_eof:
                child.expect(pexpect.EOF)
                screen += child.before
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise AssertionError(f"{' '.join(argv)}: {act} {value!r}: {error}") from None
        finally:
            child.close(force=True)
        code = child.exitstatus if child.exitstatus is not None else -(child.signalstatus or 0)
        record: Record = {"exit": code}
        return {**record, "screen": screen.decode(errors="replace")} if step.keep else record


def _resize(child: pexpect.spawn, rows: int, cols: int) -> bytes:
    """Resize until the command ends: it misses the signal before it has begun to listen."""
    child.setwinsize(rows, cols)
    for _ in range(100):
        if child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=0.2) == 0:
            break
        child.kill(signal.SIGWINCH)
    return bytes(child.before)


def _check_error(record: Record, step: Run) -> None:
    """Errors are worded differently; what they must say is what scripts and people look for."""
    err = record["stderr"]
    missing = [word for word in step.says if word.lower() not in err.lower()]
    assert not missing, f"docker {step.line}: error output lacks {missing}: {err!r}"
    record["stderr"] = f"<says {', '.join(step.says)}>"


def _collect(process: subprocess.Popen[bytes], step: Run) -> tuple[str, str]:
    assert process.stdout is not None
    out = b""
    if step.signal:
        while step.ready.encode() not in out:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, f"ended before it printed {step.ready!r}: {out!r}"
            out += piece
        process.send_signal(signal.Signals[f"SIG{step.signal}"])
    rest, err = process.communicate()
    return (out + rest).decode(errors="replace"), err.decode(errors="replace")


def _fill(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    return text


def _normal(text: str, names: dict[str, str]) -> str:
    for name, value in sorted(names.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, "{" + name + "}")
    for expression, word in _NORMAL:
        text = expression.sub(word, text)
    return text
