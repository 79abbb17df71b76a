"""The small parts: loop, state file, a runtime's messages, what the overlay covers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from corten import errors
from corten.errors import FailedPrecondition, InvalidArgument
from corten.launch import protection
from corten.launch.binarylog import failure
from corten.launch.client import is_locked, read_state
from corten.launch.loop import READ, Loop
from corten.launch.messages import ExecState, MonitorState
from corten.launch.orphan import bury
from corten.launch.statefile import StateFile, boot_id
from corten.spec.jsonlite import dumpb


def test_loop_calls_what_is_ready_and_timers() -> None:
    loop = Loop()
    reading, writing = os.pipe()
    seen: list[str] = []

    def readable(_events: int) -> None:
        seen.append(os.read(reading, 10).decode())

    loop.watch(reading, READ, readable)
    cancelled = loop.after(0, lambda: seen.append("never"))
    cancelled.cancel()
    loop.after(0.01, lambda: seen.append("timer"))
    os.write(writing, b"data")
    while len(seen) < 2:
        loop.turn()
    assert seen == ["data", "timer"]
    loop.close(reading)
    loop.forget(reading)
    os.close(writing)


def test_a_callback_may_take_another_ones_descriptor_away() -> None:
    loop = Loop()
    pipes = [os.pipe(), os.pipe()]
    seen: list[int] = []

    def first(_events: int) -> None:
        for reading, _ in pipes:
            loop.forget(reading)
        seen.append(1)

    for reading, writing in pipes:
        loop.watch(reading, READ, first)
        os.write(writing, b"x")
    loop.turn()
    assert seen == [1]
    for reading, writing in pipes:
        os.close(reading)
        os.close(writing)


def test_state_is_replaced_and_read_back(tmp_path: Path) -> None:
    assert read_state(str(tmp_path)) is None
    file = StateFile(str(tmp_path), MonitorState(id="c", tenant="docker"))
    file.set(status="running", pid=7)
    file.set_exec("e", ExecState(pid=8).to_dict())
    state = read_state(str(tmp_path))
    assert state is not None
    assert (state.id, state.status, state.pid, state.execs["e"]["pid"]) == ("c", "running", 7, 8)
    # The second is space for the next version.
    assert {path.name for path in tmp_path.iterdir()} == {"state.json", "state.json.new"}


def test_a_state_that_finds_no_space_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(str(tmp_path), MonitorState(id="c"))
    file.set(status="running")
    with monkeypatch.context() as full:
        full.setattr("corten.launch.statefile.os.rename", _no_space)
        file.set(status="exited", exit_code=3)
        assert not file.settle()
    assert read_state(str(tmp_path)).status == "running"  # type: ignore[union-attr] # it is there
    assert file.settle()
    state = read_state(str(tmp_path))
    assert state is not None and (state.status, state.exit_code) == ("exited", 3)


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_only_the_last_ended_execs_are_kept(tmp_path: Path) -> None:
    file = StateFile(str(tmp_path), MonitorState(id="c"))
    file.set_exec("running", ExecState(pid=1).to_dict())
    for number in range(200):
        file.set_exec(f"e{number}", ExecState(status="exited").to_dict())
    kept = list(file.record["execs"])
    assert kept[0] == "running" and kept[1:] == [f"e{number}" for number in range(136, 200)]


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(dumpb({"version": 99}))
    with pytest.raises(FailedPrecondition):
        read_state(str(tmp_path))


def test_state_of_another_boot_is_buried_without_touching_anything(tmp_path: Path) -> None:
    state = MonitorState(
        id="c", status="running", pid=os.getpid(), boot_id="another", cgroup="/nowhere"
    )
    StateFile(str(tmp_path), state).write()
    assert boot_id() != "another" and not is_locked(str(tmp_path))
    buried = bury(str(tmp_path))
    assert buried is not None
    assert (buried.status, buried.exit_code, buried.cleaned) == ("exited", 137, True)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            'runc create failed: unable to start container process: exec: \\"x\\": '
            "executable file not found in $PATH",
            errors.ProgramNotFound,
        ),
        ('exec: \\"/x\\": permission denied', errors.ProgramNotExecutable),
        ("container does not exist", errors.NotFound),
        ("something new", errors.Internal),
    ],
)
def test_a_runtimes_words_become_an_error(message: str, kind: type) -> None:
    log = f'{{"level":"warning","msg":"x"}}\n{{"level":"error","msg":"{message}"}}\n'
    found = failure("create", 1, log.encode())
    assert type(found) is kind
    assert found.step == "runtime create"


def test_a_runsc_that_is_too_old_for_the_kernel_gets_a_hint() -> None:
    text = "setting up network: cannot run with network enabled in root network namespace"
    found = failure("start", 1, text.encode())
    assert isinstance(found, errors.FailedPrecondition)
    assert '["--network=none"]' in found.hint


def test_a_runtime_that_says_nothing() -> None:
    assert "code 7" in failure("start", 7, b"").message


def test_text_in_place_of_json() -> None:
    assert failure("start", 1, b"{torn\nplain words\n").message == "plain words"


def test_overlay_covers_usr_and_whatever_lies_elsewhere() -> None:
    assert protection.places([]) == ["/usr"]
    found = protection.places(["/opt/python/bin/python3", "/opt/python/bin/lib/x.so"])
    assert found == ["/opt/python/bin", "/usr"]


def test_mapped_files_are_those_of_this_process() -> None:
    found = protection.mapped_files()
    assert any("python" in path for path in found)
    assert all(path.startswith("/") for path in found)
    assert not protection.protected()  # a test runs from the host's files


def test_errors_about_a_request_name_the_field() -> None:
    from corten.launch.launcher import _read
    from corten.launch.messages import Create

    with pytest.raises(InvalidArgument, match="run_dir"):
        _read(Create, {"id": "c", "bundle": "/b"})
