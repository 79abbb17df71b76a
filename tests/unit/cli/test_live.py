"""``corten top``: keys, the model, what is drawn; and the terminal on every way out."""

from __future__ import annotations

import os
import re
import signal
import termios
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.cells import cell_len

from corten.cli.live import drawing
from corten.cli.live.keys import keys
from corten.cli.live.model import Model, Order, Row
from tests.cli_driver import Corten
from tests.support import eventually
from tests.unit.cli.test_terminal import Shell, is_raw, quoted

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
A = Row("a", "alpha", "img", "Up 1 second", True, cpu=1.0, memory=300, limit=1000, pids=1)
B = Row("b", "beta", "img", "Up 1 second", True, cpu=9.0, memory=100, pids=5)
C = Row("c", "gamma", "img", "Exited (0)", False)


def model(*rows: Row) -> Model:
    made = Model()
    made.take(rows or (A, B, C))
    return made


def names(made: Model) -> list[str]:
    return [row.name for row in made.rows]


# --- keys, model, drawing: no I/O -------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[Bx", ["up", "down", "x"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5Cq", ["q"]),
        (b"\x1b[", []),
        (b"\x03\r\x7f", ["ctrl-c", "enter", "back"]),
        ("ä".encode(), []),
    ],
)
def test_keys(data: bytes, found: list[str]) -> None:
    assert keys(data) == found


def test_sorting() -> None:
    made = model()
    assert names(made) == ["beta", "alpha"]
    for key, order in (("m", "ab"), ("p", "ba"), ("n", "ab"), ("n", "ba"), ("c", "ba")):
        made.press(key)
        assert "".join(row.id for row in made.rows) == order, key
    made.press("a")
    assert names(made) == ["beta", "alpha", "gamma"]


def test_the_chosen_one_stays_chosen() -> None:
    made = model()
    made.press("end")
    assert made.chosen == A
    made.take((A._replace(cpu=99.0), B))
    assert made.chosen is not None
    assert made.chosen.id == "a"
    made.take((B,))
    assert made.chosen == B
    made.take(())
    assert made.chosen is None
    assert made.press("s") is None


def test_a_stop_is_asked_for() -> None:
    made = model()
    assert made.press("s") is None
    assert made.asking == B
    assert made.press("n") is None
    assert made.message == "not stopped"
    made.press("s")
    assert made.press("y") == Order("stop", B)
    made.press("a")
    made.press("end")
    assert made.press("s") is None
    assert made.message == "gamma does not run"


def test_log_and_back() -> None:
    made = model()
    assert made.press("l") == Order("logs", B)
    assert made.press("q") == Order("list")
    assert made.press("e") == Order("exec", B)
    assert made.press("q") == Order("quit")
    assert made.press("ctrl-c") == Order("quit")


def _shown(line: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", line)


@pytest.mark.parametrize("width", [1, 20, 79, 80, 132])
@pytest.mark.parametrize("height", [1, 2, 5, 40])
@pytest.mark.parametrize("state", ["list", "log", "help", "empty"])
def test_a_frame_fits(width: int, height: int, state: str) -> None:
    made = model(*[A._replace(id=str(i), name=f"{i}" * 30) for i in range(30)])
    if state == "log":
        made.lines = ["\x1b[2Jboo\x07", "漢字" * 100, "\ttab"] * 20
    elif state == "empty":
        made = Model()
    made.help = state == "help"
    lines = drawing.frame(made, width, height, "machine")
    assert len(lines) == height
    assert max(cell_len(_shown(line)) for line in lines) <= width
    assert not any(ord(c) < 32 for line in lines for c in _shown(line))


def test_the_chosen_row_is_in_sight() -> None:
    rows = [A._replace(id=str(i), name=f"name{i:02}") for i in range(50)]
    made = model(*rows)
    made.press("n")
    for key in ("end", "home"):
        made.press(key)
        shown = drawing.frame(made, 80, 10, "machine")
        (line,) = [line for line in shown if line.startswith("\x1b[7m")]
        assert made.chosen is not None
        assert made.chosen.name in line


# --- on a terminal, against the fake daemon ------------------------------------------------------


@pytest.fixture
def top(corten: Corten) -> Any:
    corten("run", "-d", "img", "hold")
    child = corten.spawn("top", "--interval", "0.1")
    child.expect_exact(ENTER)
    child.expect_exact("running, CPU")
    yield child
    child.close(force=True)


def gone_back(child: Any, code: int) -> None:
    child.expect_exact(LEAVE)
    child.expect(pexpect.EOF)
    child.wait()
    assert (child.exitstatus, child.signalstatus) == (code, None)


@pytest.mark.parametrize("key", ["q", "\x03", "\x1b"])
def test_the_terminal_is_given_back(top: Any, key: str) -> None:
    assert is_raw(top)
    top.send(key)
    gone_back(top, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it(top: Any, number: int) -> None:
    os.kill(top.pid, number)
    gone_back(top, 128 + number)


def test_a_new_size_is_drawn(top: Any) -> None:
    top.setwinsize(10, 60)
    top.expect_exact("NAME")
    top.setwinsize(24, 200)
    top.expect_exact("STATUS")


def test_shares_log_and_exec(top: Any) -> None:
    top.expect(r" \d+\.\d +5MiB +50\.0 ")
    top.send("l")
    top.expect_exact("q: back")
    top.send("q")
    top.expect_exact("running, CPU")
    top.send("e")
    top.expect_exact(LEAVE)
    top.expect_exact("from exec")
    top.expect_exact(ENTER)
    top.expect_exact("has ended")
    top.send("q")
    gone_back(top, 0)


def test_a_stop(top: Any) -> None:
    top.send("s")
    top.expect(r"stop (\w+)\? y/n")
    name = top.match.group(1).decode()
    top.send("y")
    top.expect_exact(f"{name} has been stopped")
    top.send("q")
    gone_back(top, 0)


def test_a_worker_that_dies_leaves_the_terminal_in_order(state: Any, corten: Corten) -> None:
    shell = Shell(corten)
    before = termios.tcgetattr(shell.child.child_fd)
    shell.run(quoted(corten, "top --interval 0.1"))
    shell.child.expect_exact(ENTER)
    shell.child.expect_exact("running, CPU")
    worker = _worker_of(shell.child.pid)
    os.kill(worker, signal.SIGKILL)
    shell.child.expect_exact(LEAVE)
    shell.child.expect_exact("has died")
    shell.prompt()
    assert termios.tcgetattr(shell.child.child_fd) == before
    shell.child.close(force=True)


def _worker_of(shell: int) -> int:
    """The process at the other end of the thin client's stream, by its descriptor 0: the same
    terminal, another process than shell and client."""
    terminal = os.readlink(f"/proc/{shell}/fd/0")
    client = int(_read(f"/proc/{shell}/task/{shell}/children").split()[0])
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in (shell, client, os.getpid()):
            try:
                if os.readlink(f"/proc/{entry}/fd/0") == terminal:
                    found.append(int(entry))
            except OSError:
                continue
    (worker,) = found
    return worker


def _read(path: str) -> str:
    return Path(path).read_text("ascii")


def test_job_control(corten: Corten) -> None:
    shell = Shell(corten)
    shell.run(quoted(corten, "top --interval 0.1"))
    shell.child.expect_exact("running, CPU")
    client = int(_read(f"/proc/{shell.child.pid}/task/{shell.child.pid}/children").split()[0])
    os.kill(client, signal.SIGTSTP)
    shell.child.expect_exact(LEAVE)
    shell.prompt()
    assert "Stopped" in shell.jobs()
    shell.run("fg")
    shell.child.expect_exact(ENTER)
    shell.child.expect_exact("running, CPU")
    eventually(lambda: is_raw(shell.child), what="raw mode")
    shell.child.send("q")
    shell.child.expect_exact(LEAVE)
    shell.prompt()
    shell.child.close(force=True)


def test_no_terminal_is_said(corten: Corten) -> None:
    done = corten("top")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("corten: the live view needs a terminal\nHint: ")
