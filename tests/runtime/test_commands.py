"""The command line's rarer commands and options, as runc has them."""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle, Runtime
from tests.runtime.test_cgroups import TOP, V2, file
from tests.support import eventually

COMMANDS = (
    "create delete events exec features kill list pause ps resume run spec start state update"
)


def test_update_takes_a_document_from_standard_input(box: Bundle) -> None:
    box.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 40}}
    box.running()
    change = {"memory": {"limit": 96 << 20}, "pids": {"limit": 50}}
    done = box.runtime("update", "--resources", "-", box.id, stdin=None, input=json.dumps(change))
    assert done.returncode == 0, done.stderr
    assert file(box, "memory.limit_in_bytes", "memory.max") == str(96 << 20)
    assert file(box, "pids.max", "pids.max") == "50"


def test_update_takes_options_and_leaves_the_rest(box: Bundle) -> None:
    box.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 40}}
    box.running()
    done = box.runtime(
        "update", "--memory", "80m", "--cpu-share", "256", "--pids-limit", "40", box.id
    )
    assert done.returncode == 0, done.stderr
    assert file(box, "memory.limit_in_bytes", "memory.max") == str(80 << 20)
    assert file(box, "pids.max", "pids.max") == "40"
    if not V2:
        assert file(box, "cpu.shares", "") == "256"


def test_update_refuses_what_is_no_size(box: Bundle) -> None:
    box.running()
    done = box.runtime("update", "--memory", "much", box.id)
    assert done.returncode == 1
    assert "invalid value for memory" in done.stderr


def test_events_prints_statistics_once(box: Bundle) -> None:
    box.linux["resources"] = {"pids": {"limit": 40}}
    box.running()
    event = json.loads(box.runtime("events", "--stats", box.id).stdout)
    assert (event["type"], event["id"]) == ("stats", box.id)
    data = event["data"]
    assert data["pids"]["limit"] == 40
    assert data["pids"]["current"] >= 1
    assert data["memory"]["usage"]["usage"] > 0
    assert data["cpu"]["usage"]["total"] > 0


def test_events_tells_what_runc_tells(box: Bundle) -> None:
    if V2:
        pytest.skip("v2 counts less")
    box.running()
    data = json.loads(box.runtime("events", "--stats", box.id).stdout)["data"]
    assert len(data["cpu"]["usage"]["percpu_kernel"]) == os.cpu_count()
    assert set(data["cpuset"]["cpus"]) <= set(range(os.cpu_count() or 1))
    assert data["cpuset"]["mems"][0] == 0


def test_errors_in_runcs_words(box: Bundle, ours: None) -> None:
    box.running()
    assert box.run().stderr.endswith('run failed: container with given ID already exists"\n')
    box.do("pause")
    assert 'msg="exec failed: cannot exec in a paused container' in box.exec("true").stderr
    box.do("resume")
    assert box.runtime("state", "nobody").stderr.endswith('msg="container does not exist"\n')
    assert box.runtime("nonsense").returncode == 3


def test_a_log_that_can_not_be_written_is_an_error(box: Bundle) -> None:
    assert box.runtime("--log", "/does/not/exist", "list").returncode == 1


def test_events_ends_with_the_container(box: Bundle, ours: None) -> None:
    box.running()
    command = [*box.runtime.argv, "--root", str(box.runtime.root), "events"]
    with subprocess.Popen(
        [*command, "--interval", "50ms", box.id], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [line["type"] for line in lines] == ["stats", "stats"]
        box.do("kill", "KILL")
        process.stdout.read()
        assert process.wait(20) == 0


def test_events_tells_of_an_oom_kill(box: Bundle, ours: None) -> None:
    box.linux["resources"] = {"memory": {"limit": 16 << 20}}
    # the child is the one that is taken, init stays
    hungry = "python3 -IS -c 'x = bytearray(64 << 20)'"
    box.running(f"until [ -e /go ]; do sleep 0.05; done; {hungry}; sleep 60")
    command = [*box.runtime.argv, "--root", str(box.runtime.root), "events"]
    with subprocess.Popen(
        [*command, "--interval", "50ms", box.id], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "stats"  # it watches
        (box.rootfs / "go").touch()
        while json.loads(process.stdout.readline())["type"] != "oom":
            pass
        box.do("kill", "KILL")
        process.stdout.read()


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS.split())
def test_every_command_has_its_help(runtime: Runtime, command: str, option: str) -> None:
    done = runtime(command, option)
    assert done.returncode == 0, done.stderr
    assert command in done.stdout.splitlines()[1]


def test_help_of_an_unknown_command_fails(runtime: Runtime) -> None:
    done = runtime("nonsense", "-h")
    assert done.returncode != 0
    assert "No help topic for 'nonsense'" in done.stderr + done.stdout


def test_a_link_says_its_own_name(runtime: Runtime, ours: None, tmp_path: Path) -> None:
    link = tmp_path / "runc"
    link.symlink_to(runtime.argv[0])
    said = subprocess.run([link, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("runc version ")


def test_delete_by_pattern(box: Bundle, ours: None) -> None:
    box.running()
    assert box.runtime("delete", "--regex", "^nobody$").returncode == 0
    assert box.state()["status"] == "running"
    assert box.runtime("delete", "--regex", f"^{box.id[:8]}").returncode == 0
    assert "does not exist" in box.runtime("state", box.id).stderr


def test_the_pidfd_is_sent(box: Bundle, ours: None, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        box.shell("sleep 60")
        box.created("--pidfd-socket", str(tmp_path / "s"))
        connection, _ = listener.accept()
        with connection:
            _, control, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
    (fd,) = array.array("i", control[0][2])
    assert f"Pid:\t{box.pid}\n" in Path(f"/proc/self/fdinfo/{fd}").read_text()


def test_a_frozen_cgroup_is_refused(box: Bundle, ours: None) -> None:
    if V2:
        group, name, frozen, thawed = TOP, "cgroup.freeze", "1", "0"
    else:
        group, name, frozen, thawed = TOP / "freezer", "freezer.state", "FROZEN", "THAWED"
    state = Path(f"{group}{box.linux['cgroupsPath']}") / name
    state.parent.mkdir(parents=True)
    state.write_text(frozen)
    try:
        done = box.run()
        assert done.returncode == 1
        assert "container's cgroup unexpectedly frozen" in done.stderr
    finally:
        state.write_text(thawed)
        state.parent.rmdir()


def test_exec_into_an_inner_group_by_controller(box: Bundle, ours: None) -> None:
    if V2:
        pytest.skip("controllers have groups of their own on v1 alone")
    box.running()
    inner = Path(f"/sys/fs/cgroup/pids{box.linux['cgroupsPath']}/inner")
    inner.mkdir()
    said = box.exec("cat", "/proc/self/cgroup", options=["--cgroup", "pids:inner"]).stdout
    groups = dict(line.split(":")[1:] for line in said.splitlines())
    assert groups["pids"].endswith("/inner")
    assert not groups["memory"].endswith("/inner")


def test_list_of_a_root_that_is_not_there(runtime: Runtime, ours: None) -> None:
    done = runtime("list")
    assert done.returncode == 1
    assert "no such directory" in done.stderr


def pids(box: Bundle) -> list[int]:
    """The container's processes, as ``ps`` has them."""
    found: list[int] = json.loads(box.runtime("ps", "--format", "json", box.id).stdout)
    return found


def test_kill_reaches_what_init_left(box: Bundle, ours: None) -> None:
    """Without a PID namespace init's end is nobody else's."""
    box.linux["namespaces"] = [n for n in box.linux["namespaces"] if n["type"] != "pid"]
    box.running("sleep 61 & sleep 62 & kill -9 $$")
    box.stopped()
    assert len(pids(box)) == 2
    box.do("kill", "KILL")
    eventually(lambda: pids(box) == [], what="end of all")
