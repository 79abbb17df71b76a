"""On this host's own hierarchies, as root: the kernel has the last word."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.cgroups import detect, open_cgroup, signalling
from corten.cgroups.base import Cgroup
from corten.cgroups.v2 import V2Cgroup
from corten.errors import CortenError, FailedPrecondition, InvalidArgument
from tests.support import eventually
from tests.unit.kernel.isolated import SOURCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PREFIX = "corten-unit"
MIB = 1 << 20

JOIN = """
import sys; sys.path.insert(0, {source!r})
import os
from corten.kernel import process
fds = {fds!r}
cgroup_fd = {cgroup_fd}
pid, pidfd = process.clone3(cgroup_fd=cgroup_fd)
if pid == 0:
    for fd in fds:
        os.write(fd, b"0")
{body}
    os._exit(0)
sys.exit(process.wait_pidfd(pidfd))
"""


def start(group: Cgroup, body: str) -> subprocess.Popen[str]:
    """Run ``body`` in a process that is born (v2) or joins (v1) the group."""
    fds, cgroup_fd = group.join_files(), group.dir_fd()
    passed = [*fds, cgroup_fd] if cgroup_fd >= 0 else fds
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    program = JOIN.format(source=str(SOURCE), fds=fds, cgroup_fd=cgroup_fd, body=indented)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            pass_fds=passed,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        for fd in passed:
            os.close(fd)


def result(child: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = child.communicate(timeout=30)
    return child.returncode, out.strip()


def kinds() -> list[str]:
    try:
        here = detect.hierarchies()
    except (CortenError, OSError):
        return []
    return ["host"] + (["unified beside v1"] if here.kind == "hybrid" else [])


@pytest.fixture(params=kinds())
def group(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    path = f"/{PREFIX}-{os.getpid()}/group"
    one: Cgroup = open_cgroup(path)
    parent: Cgroup = open_cgroup(os.path.dirname(path))
    if request.param != "host":
        unified = detect.hierarchies().unified
        one, parent = V2Cgroup(path, unified), V2Cgroup(os.path.dirname(path), unified)
    one.create()
    try:
        yield one
    finally:
        one.kill()
        parent.delete()


def on_host_only(group: Cgroup) -> None:
    if group.kind == "v2" and detect.hierarchies().kind == "hybrid":
        pytest.skip("the unified tree beside v1 has no such controller")


def test_a_process_is_inside_and_below_is_counted(group: Cgroup) -> None:
    child = start(group, "os.fork()\nimport _signal\n_signal.pause()")
    eventually(lambda: len(group.pids()) == 2, what="two processes")
    with pytest.raises(FailedPrecondition, match="holds processes"):
        group.create(exclusive=True)
    group.create()
    group.kill()
    assert result(child)[0] == 137
    eventually(lambda: group.pids() == [])
    group.delete()
    assert not group.exists()
    group.delete()


def test_it_is_in_every_hierarchy(group: Cgroup) -> None:
    code, out = result(start(group, "print(open('/proc/self/cgroup').read(), flush=True)"))
    assert code == 0
    mine = [line for line in out.splitlines() if line.endswith(group.path)]
    tops = {"v2"} if group.kind == "v2" else set(detect.hierarchies().mounts.values())
    assert len(mine) == len(tops)


def test_device_rules_hold(group: Cgroup) -> None:
    rules: list[dict[str, Any]] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 8, "access": "r"},
    ]
    group.apply({"devices": rules})
    group.apply({"devices": rules})  # replaced, not added
    body = """
def may(path, mode):
    try:
        os.close(os.open(path, mode))
        return True
    except PermissionError:
        return False
print(may("/dev/null", os.O_RDWR), may("/dev/zero", os.O_RDONLY),
      may("/dev/random", os.O_RDONLY), may("/dev/random", os.O_WRONLY), flush=True)
"""
    assert result(start(group, body)) == (0, "True False True False")
    group.apply({"devices": [{"allow": True, "access": "rwm"}]})
    assert result(start(group, body)) == (0, "True True True True")


def test_freeze_stops_and_thaw_goes_on(group: Cgroup) -> None:
    body = "import time\nwhile True:\n    print(1, flush=True)\n    time.sleep(0.001)"
    child = start(group, body)
    eventually(lambda: group.pids())
    group.freeze()
    assert group.frozen()
    assert child.stdout is not None
    output = child.stdout.fileno()

    def pending() -> int:
        return len(os.read(output, 65536)) if select.select([output], [], [], 0.05)[0] else 0

    eventually(lambda: pending() == 0, what="silence")
    group.thaw()
    assert not group.frozen()
    eventually(lambda: pending() > 0, what="output")
    group.freeze()
    group.kill()
    assert child.wait(timeout=10) == 137
    child.stdout.close()


def test_every_process_of_a_fork_bomb_dies(group: Cgroup) -> None:
    if group.kind != "v2":
        group.apply({"pids": {"limit": 64}})
    body = """
import time
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        pass
"""
    child = start(group, body)
    eventually(lambda: group.pids())
    signalling.signal_all(group, 9, thaw_for=True)
    group.kill()
    eventually(lambda: group.pids() == [], what="nobody left")
    child.communicate(timeout=30)
    assert not group.frozen()


def test_other_signals_reach_everybody(group: Cgroup) -> None:
    child = start(group, "os.fork()\nimport _signal\n_signal.pause()")
    eventually(lambda: len(group.pids()) == 2)
    group.kill(15)
    assert result(child)[0] == 143
    eventually(lambda: group.pids() == [])


def test_limits_are_in_the_kernel(group: Cgroup) -> None:
    on_host_only(group)
    group.apply(
        {
            "memory": {"limit": 64 * MIB, "swap": 128 * MIB},
            "cpu": {"quota": 50_000, "period": 100_000, "shares": 512, "cpus": "0"},
            "pids": {"limit": 20},
        }
    )
    stats = group.stats()
    assert stats["memory"]["limit"] == 64 * MIB
    assert stats["memory"]["swap_limit"] == 128 * MIB
    assert stats["pids"]["limit"] == 20
    # both limits down, then both up: the kernel accepts each in one order only
    group.apply({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    group.apply({"memory": {"limit": 256 * MIB, "swap": 512 * MIB}})
    assert group.stats()["memory"]["limit"] == 256 * MIB
    group.apply({"memory": {"limit": -1}})
    assert group.stats()["memory"]["limit"] == -1


def test_an_inner_group_hands_its_processors_on(group: Cgroup) -> None:
    on_host_only(group)
    if group.kind == "v2":
        pytest.skip("v2 groups share their parents' processors anyway")
    directory = Path(detect.hierarchies().mounts["cpuset"] + group.path)
    assert (directory / "cpuset.cpus").read_text() == (directory.parent / "cpuset.cpus").read_text()
    sibling = directory.with_name("sibling")
    sibling.mkdir()
    try:
        assert (sibling / "cpuset.cpus").read_text().strip()
        assert (sibling / "cpuset.mems").read_text().strip()
    finally:
        sibling.rmdir()


def test_a_value_the_kernel_refuses_is_named(group: Cgroup) -> None:
    on_host_only(group)
    with pytest.raises(InvalidArgument, match="'4000'") as caught:
        group.apply({"cpu": {"cpus": "4000"}})
    assert caught.value.path.endswith(f"{group.path}/cpuset.cpus")
    assert "cpu.cpus" in caught.value.step


def test_an_oom_kill_is_told_and_counted(group: Cgroup) -> None:
    on_host_only(group)
    group.apply({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    told = group.oom_fd()
    assert told >= 0
    try:
        assert group.oom_kill_count() == 0
        code, _ = result(start(group, "x = bytearray(256 << 20)"))
        assert code == 137
        assert select.select([told], [], [], 10)[0] == [told]
        assert group.oom_kill_count() == 1
    finally:
        os.close(told)


def test_a_process_is_moved_with_its_threads(group: Cgroup) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        group.add_process(sleeper.pid)
        assert group.pids() == [sleeper.pid]
        lines = Path(f"/proc/{sleeper.pid}/cgroup").read_text().splitlines()
        assert any(line.endswith(group.path) for line in lines)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_delete_waits_for_the_last_process(group: Cgroup) -> None:
    child = start(group, "import time\ntime.sleep(0.2)")
    eventually(lambda: group.pids())
    begin = time.monotonic()
    group.delete(timeout=20)
    assert not group.exists()
    assert time.monotonic() - begin < 20
    child.communicate(timeout=10)
