"""What containers print, in their log: formats, rotation, opening again, a full disk."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import ResourceExhausted
from corten.launch.messages import Delete, ReopenLog
from tests.contract.conftest import Make
from tests.support import eventually

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
CRI = re.compile(rf"^{TIME} (stdout|stderr) ([FP]) (.*)$")


def records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_file(make: Make) -> None:
    script = r"""echo plain; printf 'quote " tab \t\n'; echo error >&2; printf unfinished"""
    container = make(["sh", "-c", script]).create().start()
    container.wait()
    found = records(container.log)
    assert all(re.fullmatch(TIME, record["time"]) for record in found)
    out = [record["log"] for record in found if record["stream"] == "stdout"]
    assert out == ["plain\n", 'quote " tab \t\n', "unfinished"]
    assert [r["log"] for r in found if r["stream"] == "stderr"] == ["error\n"]


def test_cri(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = {"driver": "cri", "path": str(path)}
    container = make(["sh", "-c", "echo out; echo err >&2"], log=log).create().start()
    container.wait()
    rows = [CRI.match(line) for line in path.read_text().splitlines()]
    assert all(rows)
    assert {row.groups() for row in rows if row} == {("stdout", "F", "out"), ("stderr", "F", "err")}


def test_none(make: Make) -> None:
    container = make(["echo", "x"], log={"driver": "none"}).create()
    stream = container.attach()
    container.start()
    assert stream.frames()["stdout"] == b"x\n"
    container.wait()
    assert not container.log.exists()
    stream.close()


def test_a_terminal_is_logged_as_stdout(make: Make) -> None:
    container = make(["sh", "-c", "echo one; echo two >&2"], tty=True).create().start()
    container.wait()
    found = records(container.log)
    assert {record["stream"] for record in found} == {"stdout"}
    assert "".join([record["log"] for record in found]) == "one\r\ntwo\r\n"


def test_many_lines_arrive_in_order(native: Make) -> None:
    container = native(["sh", "-c", "seq 1 20000"]).create().start()
    assert container.wait().code == 0
    assert [record["log"] for record in records(container.log)] == [
        f"{number}\n" for number in range(1, 20001)
    ]


def test_rotation(native: Make, tmp_path: Path) -> None:
    log = {"path": str(tmp_path / "log"), "max_size": 20_000, "max_files": 3}
    container = native(["sh", "-c", "seq 1 2000"], log=log).create().start()
    container.wait()
    files = sorted(tmp_path.iterdir(), reverse=True)
    assert [path.name for path in files] == ["log.2", "log.1", "log"]
    numbers = [int(record["log"]) for path in files for record in records(path)]
    assert numbers == list(range(numbers[0], 2001))
    assert all(path.stat().st_size < 20_200 for path in files)


def test_reopen(native: Make) -> None:
    script = "echo before; read x; echo after; read y"
    container = native(["sh", "-c", script], stdin_open=True).create().start()
    stream = container.attach(stdin=True)
    eventually(lambda: b"before" in container.log.read_bytes())
    container.log.rename(container.dir / "log.old")
    container.talk.ask(ReopenLog())
    assert container.log.exists()
    stream.write(b"\n")
    eventually(lambda: b"after" in container.log.read_bytes())
    assert b"after" not in (container.dir / "log.old").read_bytes()
    container.talk.ask(Delete(force=True))
    container.gone()
    stream.close()


def test_reopen_that_fails_makes_no_file(native: Make, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    script = "echo before; read x; echo after; read y"
    log = {"path": str(logs / "log")}
    container = native(["sh", "-c", script], stdin_open=True, log=log).create().start()
    stream = container.attach(stdin=True)
    eventually(lambda: b"before" in (logs / "log").read_bytes())
    logs.rename(tmp_path / "moved")
    with pytest.raises(ResourceExhausted):
        container.talk.ask(ReopenLog())
    assert not logs.exists()
    stream.write(b"\n")
    eventually(lambda: b"after" in (tmp_path / "moved/log").read_bytes())
    container.talk.ask(Delete(force=True))
    container.gone()
    stream.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_full_disk_stops_no_container(native: Make, small_disk: Path) -> None:
    log = {"path": str(small_disk / "log")}
    script = "seq 1 20000; echo done; read x; echo later"
    container = native(["sh", "-c", script], stdin_open=True, log=log).create().start()
    stream = container.attach(stdin=True)
    stream.until_printed(b"done")  # behind all the others: nothing of them is still to be logged
    (small_disk / "log").write_bytes(b"")  # somebody makes room
    stream.write(b"\n")
    assert container.wait().code == 0
    found = [record["log"] for record in records(small_disk / "log")]  # every line is whole
    assert found[-1] == "later\n" and "1\n" not in found
    assert container.state.log_dropped > 100_000
    stream.close()


def test_log_that_can_not_be_made_is_an_error(native: Make, tmp_path: Path) -> None:
    container = native(["true"], log={"path": str(tmp_path / "missing/log")})
    with pytest.raises(ResourceExhausted) as caught:
        container.create()
    assert caught.value.path == str(tmp_path / "missing/log")
    container.gone()
    assert container.state.cleaned
