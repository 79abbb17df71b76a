"""Below plain directories: errors, undo, detection, counters from recorded files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from corten.cgroups import detect, fs, stats_v1, stats_v2
from corten.cgroups.v1 import V1Cgroup
from corten.cgroups.v2 import V2Cgroup
from corten.errors import FailedPrecondition, InvalidArgument


@pytest.mark.parametrize("path", ["", "/", "/a/../b", "..", "a\0b"])
def test_paths_stay_below_the_top(path: str) -> None:
    with pytest.raises(InvalidArgument):
        detect.checked(path)


def test_paths_are_made_plain() -> None:
    assert detect.checked("a//b/./c/") == "/a/b/c"


def test_an_error_names_file_and_value(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="'5' can't be set") as caught:
        fs.write(str(tmp_path / "memory.max"), "5")
    assert caught.value.path == str(tmp_path / "memory.max")


def test_what_a_failed_create_made_is_gone(tmp_path: Path) -> None:
    tops = {name: tmp_path / name for name in ("cpu", "memory", "pids")}
    for top in tops.values():
        top.mkdir()
    (tops["memory"] / "kept").mkdir()
    (tops["pids"] / "kept").write_text("in the way")
    where = detect.Hierarchies(kind="v1", mounts={k: str(v) for k, v in tops.items()})
    with pytest.raises(Exception, match="kept"):
        V1Cgroup("/kept/inner/group", where).create()
    assert not (tops["cpu"] / "kept").exists()
    assert list((tops["memory"] / "kept").iterdir()) == []


def test_a_controller_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    where = detect.Hierarchies(kind="v1", mounts={"cpu": str(tmp_path / "cpu")})
    group = V1Cgroup("/g", where)
    group.create()
    for resources, name in (
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}, "hugetlb"),
        ({"devices": [{"allow": False}]}, "devices"),
        ({"network": {"classID": 5}}, "net_cls"),
    ):
        with pytest.raises(FailedPrecondition, match=f"controller {name} is not mounted"):
            group.apply(resources)
    group.apply({"pids": {}, "network": {}})


def test_a_limit_without_a_file_says_what_was_asked(tmp_path: Path) -> None:
    group = V2Cgroup("/g", str(tmp_path))
    group.create()
    with pytest.raises(FailedPrecondition, match=r"memory\.limit = 5 can't be set") as caught:
        group.apply({"memory": {"limit": 5}})
    assert "memory" in caught.value.hint


def test_files_are_written_as_planned(tmp_path: Path) -> None:
    group = V2Cgroup("/g", str(tmp_path))
    group.create()
    for name in ("memory.max", "memory.swap.max", "io.weight"):
        (tmp_path / "g" / name).touch()
    group.apply({"memory": {"limit": 5, "swap": 8}, "blockIO": {"weight": 10}})
    written = [(tmp_path / "g" / n).read_text() for n in ("memory.max", "memory.swap.max")]
    assert written == ["5", "3"]
    assert (tmp_path / "g/io.weight").read_text() == "1"


def test_check_before_update(tmp_path: Path) -> None:
    group = V2Cgroup("/g", str(tmp_path))
    group.create()
    (tmp_path / "g/memory.current").write_text("100\n")
    (tmp_path / "g/memory.max").write_text("")
    with pytest.raises(FailedPrecondition, match="limit 50 is below the usage 100"):
        group.apply({"memory": {"limit": 50, "checkBeforeUpdate": True}})
    group.apply({"memory": {"limit": 150, "checkBeforeUpdate": True}})


def test_controllers_are_enabled_from_the_top_down(tmp_path: Path) -> None:
    for group in (tmp_path, tmp_path / "a"):
        group.mkdir(exist_ok=True)
        (group / "cgroup.controllers").write_text("cpu memory pids\n")
        (group / "cgroup.subtree_control").write_text("cpu\n")
    V2Cgroup("/a/b", str(tmp_path)).create()
    for group in (tmp_path, tmp_path / "a"):
        assert (group / "cgroup.subtree_control").read_text().startswith("+memory +pids")


def test_delete_gives_up_at_the_deadline_and_says_who(tmp_path: Path) -> None:
    busy = tmp_path / "g"
    busy.mkdir()
    (busy / "cgroup.procs").write_text("1\n")  # a plain file keeps the directory busy
    begin = time.monotonic()
    with pytest.raises(FailedPrecondition, match=r"still in use.*\[1\]"):
        fs.remove([str(busy)], 0.05)
    assert time.monotonic() - begin >= 0.05
    fs.remove([str(tmp_path / "absent")], 0)


def test_inner_groups_go_first(tmp_path: Path) -> None:
    (tmp_path / "g/a/b").mkdir(parents=True)
    (tmp_path / "g/c").mkdir()
    fs.remove([str(tmp_path / "g")], 1)
    assert not (tmp_path / "g").exists()


def test_counters_of_v1(tmp_path: Path) -> None:
    files = {
        "cpuacct.usage": "123456789\n",
        "cpuacct.stat": "user 3\nsystem 4\n",
        "cpuacct.usage_percpu": "100 23 \n",
        "cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n",
        "memory.usage_in_bytes": "4096\n",
        "memory.memsw.usage_in_bytes": "5096\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.stat": "cache 1\ntotal_inactive_file 9\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "pids.current": "3\n",
        "pids.max": "max\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\nTotal 30\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    names = ("cpu", "cpuacct", "memory", "pids", "blkio")
    stats = stats_v1.read({name: str(tmp_path) for name in names})
    assert stats["cpu"] == {
        "usage_ns": 123456789,
        "user_ns": 30_000_000,
        "system_ns": 40_000_000,
        "per_cpu_ns": [100, 23],
        "periods": 5,
        "throttled_periods": 2,
        "throttled_ns": 77,
    }
    memory = stats["memory"]
    assert (memory["usage"], memory["swap_usage"], memory["limit"]) == (4096, 1000, -1)
    assert (memory["inactive_file"], memory["oom_kills"]) == (9, 2)
    assert stats["pids"] == {"current": 3, "limit": -1}
    assert [item["value"] for item in stats["io"]["bytes"]] == [10, 20]


def test_counters_of_v2(tmp_path: Path) -> None:
    files = {
        "cgroup.controllers": "cpu io memory pids hugetlb\n",
        "cpu.stat": "usage_usec 12\nuser_usec 5\nsystem_usec 7\nnr_throttled 1\n",
        "memory.current": "4096\n",
        "memory.peak": "8192\n",
        "memory.max": "10000\n",
        "memory.swap.max": "500\n",
        "memory.events": "low 0\nmax 4\noom 2\noom_kill 1\n",
        "memory.stat": "anon 5\ninactive_file 6\n",
        "pids.current": "2\n",
        "pids.max": "20\n",
        "io.stat": "\n253:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
        "hugetlb.2MB.current": "7\n",
        "hugetlb.2MB.rsvd.current": "8\n",
        "hugetlb.2MB.events": "max 3\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    stats = stats_v2.read(str(tmp_path))
    assert (stats["cpu"]["usage_ns"], stats["cpu"]["throttled_periods"]) == (12000, 1)
    memory = stats["memory"]
    assert (memory["max_usage"], memory["limit"], memory["swap_limit"]) == (8192, 10000, 10500)
    assert (memory["oom_kills"], memory["failcnt"]) == (1, 4)
    assert stats["pids"] == {"current": 2, "limit": 20}
    assert [(i["op"], i["value"]) for i in stats["io"]["operations"]] == [
        ("Read", 3),
        ("Write", 4),
        ("Discard", 0),
    ]
    assert stats["hugetlb"] == {"2MB": {"usage": 7, "max_usage": 7, "failcnt": 3}}


def test_a_group_that_is_gone_counts_nothing(tmp_path: Path) -> None:
    group = V2Cgroup("/gone", str(tmp_path))
    assert (group.pids(), group.exists(), group.oom_kill_count()) == ([], False, 0)
    assert group.oom_fd() == -1
    group.delete()


def test_own_group_is_the_kernels_line() -> None:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    expected = [line[3:] for line in lines if line.startswith("0::")]
    if expected:
        assert detect.own_group() == detect.own_group(os.getpid()) == expected[0]
