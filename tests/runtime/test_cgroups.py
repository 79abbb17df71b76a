"""The container's cgroup: made, limited, joined, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.harness import Bundle

TOP = Path("/sys/fs/cgroup")
V2 = (TOP / "cgroup.controllers").exists()


def file(box: Bundle, v1: str, v2: str) -> str:
    """A setting of the container's group, by its controller's name on v1."""
    path = box.linux["cgroupsPath"]
    place = TOP if V2 else TOP / v1.partition(".")[0]
    return (Path(f"{place}{path}") / (v2 if V2 else v1)).read_text().strip()


@pytest.fixture
def limited(box: Bundle) -> Bundle:
    box.linux["resources"] = {
        "memory": {"limit": 64 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "pids": {"limit": 40},
    }
    return box


def test_a_parent_that_was_given_no_processors(box: Bundle) -> None:
    if V2:
        pytest.skip("an empty cpuset keeps processes out on v1 alone")
    parent = TOP / f"cpuset{box.linux['cgroupsPath']}"
    parent.mkdir(parents=True)
    box.linux["cgroupsPath"] += "/inner"
    try:
        box.output("true")
    finally:
        for group in TOP.glob(f"*{Path(box.linux['cgroupsPath']).parent}"):
            group.rmdir()


def test_limits_are_set(limited: Bundle) -> None:
    limited.running()
    assert file(limited, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert file(limited, "pids.max", "pids.max") == "40"
    if V2:
        assert file(limited, "", "cpu.max") == "50000 100000"
    else:
        assert file(limited, "cpu.shares", "") == "512"
        assert file(limited, "cpu.cfs_quota_us", "") == "50000"


def test_limits_hold_before_the_program_runs(limited: Bundle) -> None:
    limited.created()
    assert file(limited, "memory.limit_in_bytes", "memory.max") == str(64 << 20)


def test_init_is_inside_everywhere(box: Bundle) -> None:
    box.running()
    for line in Path(f"/proc/{box.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers or V2:
            assert path == box.linux["cgroupsPath"], line


def test_too_many_processes(limited: Bundle) -> None:
    limited.linux["resources"]["pids"]["limit"] = 5
    limited.shell("for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo unreachable")
    done = limited.run()
    assert "ork" in done.stderr  # "Cannot fork", "fork: ..."


def test_too_much_memory_kills(limited: Bundle) -> None:
    limited.linux["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    limited.shell("python3 -IS -c 'x = b\"x\" * (200 << 20)'; echo $?")
    assert limited.run().stdout == "137\n"


@pytest.mark.parametrize("limit", [1 << 20, 512 << 10])
def test_little_memory_is_enough(box: Bundle, ours: None, limit: int) -> None:
    box.linux["resources"] = {"memory": {"limit": limit}}
    box.process["args"] = ["/usr/bin/true"]
    assert box.run().returncode == 0


def test_memory_too_small_says_so(box: Bundle, ours: None) -> None:
    box.linux["resources"] = {"memory": {"limit": 16 << 10}}
    done = box.run()
    assert done.returncode != 0


def test_limit_that_makes_no_sense(box: Bundle) -> None:
    box.linux["resources"] = {"cpu": {"cpus": "99999"}}
    done = box.run()
    assert done.returncode == 1
    assert box.runtime("state", box.id).returncode == 1


def test_path_can_not_leave_the_tree(box: Bundle) -> None:
    box.linux["cgroupsPath"] = "/../../outside"
    box.run()
    assert not (TOP / "../outside").exists()


def test_default_path(box: Bundle) -> None:
    del box.linux["cgroupsPath"]
    box.shell("cat /proc/self/cgroup")
    assert f"/{box.id}" in box.run().stdout


def test_processes_left_behind_end_with_the_container(box: Bundle) -> None:
    # init ends, its PID namespace is the host's: the others would live on
    box.linux["namespaces"] = [n for n in box.linux["namespaces"] if n["type"] != "pid"]
    box.shell("sleep 64 & echo $!")
    done = box.run()
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it is gone; a zombie has no words
        words = ""
    assert "sleep" not in words
