"""The log file: rotation, opening again, and a disk that is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from corten.errors import InvalidArgument, ResourceExhausted
from corten.launch.logfile import LogFile, open_log
from corten.launch.messages import Log


def cri(path: Path, *, max_size: int = 0, max_files: int = 1) -> LogFile:
    log = Log(driver="cri", path=str(path), max_size=max_size, max_files=max_files)
    sink = open_log(log)
    assert isinstance(sink, LogFile)
    return sink


def contents(path: Path) -> list[str]:
    return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]


def test_both_streams_in_order(tmp_path: Path) -> None:
    sink = cri(tmp_path / "log")
    sink.write("stdout", b"a\nb\nc")
    sink.write("stderr", b"d\n")
    sink.finish("stdout")
    sink.close()
    assert contents(tmp_path / "log") == ["a", "b", "d", "c"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        sink = cri(tmp_path / "log")
        sink.write("stdout", text)
        sink.close()
    assert contents(tmp_path / "log") == ["first", "second"]


def test_rotation_keeps_so_many_files(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = cri(log, max_size=100, max_files=3)
    for number in range(12):
        sink.write("stdout", b"line %d\n" % number)
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    last = contents(tmp_path / "log.2") + contents(tmp_path / "log.1") + contents(log)
    assert last == [f"line {number}" for number in range(12 - len(last), 12)]
    assert all(path.stat().st_size < 100 + 60 for path in tmp_path.iterdir())


def test_rotation_inside_of_one_chunk(tmp_path: Path) -> None:
    sink = cri(tmp_path / "log", max_size=200, max_files=5)
    sink.write("stdout", b"".join([b"line %d\n" % number for number in range(14)]))
    sink.close()
    files = [tmp_path / "log.2", tmp_path / "log.1", tmp_path / "log"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert sum([contents(path) for path in files], []) == [f"line {n}" for n in range(14)]


def test_a_single_file_is_truncated(tmp_path: Path) -> None:
    sink = cri(tmp_path / "log", max_size=60, max_files=1)
    for number in range(5):
        sink.write("stdout", b"a line that is long enough %d\n" % number)
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert contents(tmp_path / "log") == ["a line that is long enough 4"]


def test_reopen_after_a_rename(tmp_path: Path) -> None:
    sink = cri(tmp_path / "log")
    sink.write("stdout", b"before\n")
    (tmp_path / "log").rename(tmp_path / "old")
    sink.write("stdout", b"between\n")
    sink.reopen()
    sink.write("stdout", b"after\n")
    sink.close()
    assert contents(tmp_path / "old") == ["before", "between"]
    assert contents(tmp_path / "log") == ["after"]


def test_reopen_that_fails_keeps_the_file_and_makes_none(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    sink = cri(directory / "log")
    directory.rename(tmp_path / "moved")
    with pytest.raises(ResourceExhausted) as caught:
        sink.reopen()
    assert caught.value.path == str(directory / "log") and caught.value.errno == errno.ENOENT
    sink.write("stdout", b"still\n")
    sink.close()
    assert not directory.exists()
    assert contents(tmp_path / "moved/log") == ["still"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceExhausted):
        cri(tmp_path / "log")
    assert not (tmp_path / "elsewhere").exists()


def test_full_disk_drops_whole_records_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = cri(tmp_path / "log")
    sink.write("stdout", b"whole\n")
    write = os.write
    calls = 0

    def full(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return write(fd, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    sink.write("stdout", b"lost\n")
    monkeypatch.undo()
    sink.write("stdout", b"later\n")
    sink.close()
    assert contents(tmp_path / "log") == ["whole", "later"]
    assert sink.dropped > len(b"lost\n")


def test_a_rotation_that_fails_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "log.1").mkdir()  # a file can't be renamed to it
    sink = cri(log, max_size=50, max_files=2)
    for number in range(4):
        sink.write("stdout", b"line %d\n" % number)
    sink.close()
    assert contents(log) == ["line 0", "line 1", "line 2", "line 3"]


def test_drivers() -> None:
    none = open_log(Log(driver="none"))
    none.write("stdout", b"x\n")
    none.finish("stdout")
    none.reopen()
    none.close()
    with pytest.raises(InvalidArgument):
        open_log(Log(driver="syslog"))
