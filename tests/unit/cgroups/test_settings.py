"""linux.resources as files: pure plans of v1, v2 and systemd."""

from __future__ import annotations

from typing import Any

import pytest

from corten.cgroups import settings_v1, settings_v2, units
from corten.errors import FailedPrecondition, InvalidArgument

MIB = 1 << 20


def v1(resources: dict[str, Any]) -> list[str]:
    return [f"{s.file}={s.value}" for s in settings_v1.plan(resources)]


def v2(resources: dict[str, Any], **more: str) -> list[str]:
    return [f"{s.file}={s.value}" for s in settings_v2.plan(resources, **more)]


def test_nothing_asked_nothing_written() -> None:
    empty: dict[str, Any] = {
        "memory": {"limit": 0, "swap": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""},
        "pids": {},
        "blockIO": {"weight": 0, "throttleReadBpsDevice": None},
        "network": {},
        "rdma": None,
    }
    for resources in ({}, empty):
        assert v1(resources) == v2(resources) == []


@pytest.mark.parametrize(
    ("memory", "one", "two"),
    [
        ({"limit": MIB}, ["memory.limit_in_bytes=1048576"], ["memory.max=1048576"]),
        (
            {"limit": MIB, "swap": 3 * MIB},
            ["memory.limit_in_bytes=1048576", "memory.memsw.limit_in_bytes=3145728"],
            ["memory.swap.max=2097152", "memory.max=1048576"],
        ),
        (
            {"limit": MIB, "swap": MIB},
            ["memory.limit_in_bytes=1048576", "memory.memsw.limit_in_bytes=1048576"],
            ["memory.swap.max=0", "memory.max=1048576"],
        ),
        (
            {"limit": MIB, "swap": -1},
            ["memory.limit_in_bytes=1048576", "memory.memsw.limit_in_bytes=-1"],
            ["memory.swap.max=max", "memory.max=1048576"],
        ),
        (
            {"limit": -1},
            ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"],
            ["memory.swap.max=max", "memory.max=max"],
        ),
        (
            {"reservation": 2 * MIB},
            ["memory.soft_limit_in_bytes=2097152"],
            ["memory.low=2097152"],
        ),
    ],
)
def test_memory(memory: dict[str, int], one: list[str], two: list[str]) -> None:
    assert v1({"memory": memory}) == one
    assert v2({"memory": memory}) == two


@pytest.mark.parametrize("memory", [{"swap": 5}, {"limit": 5, "swap": 4}, {"limit": -1, "swap": 4}])
def test_swap_that_makes_no_sense(memory: dict[str, int]) -> None:
    for plan in (v1, v2):
        with pytest.raises(InvalidArgument, match="memory and swap limit"):
            plan({"memory": memory})


def test_cpu() -> None:
    cpu = {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1"}
    assert v1({"cpu": cpu}) == [
        "cpu.shares=512",
        "cpu.cfs_period_us=100000",
        "cpu.cfs_quota_us=50000",
        "cpu.cfs_burst_us=1000",
        "cpuset.cpus=0-1",
    ]
    assert v2({"cpu": cpu}) == [
        "cpu.weight=59",
        "cpu.max=50000 100000",
        "cpu.max.burst=1000",
        "cpuset.cpus=0-1",
    ]


def test_half_of_cpu_max_keeps_the_other() -> None:
    assert v2({"cpu": {"quota": 7000}}, cpu_max="max 50000") == ["cpu.max=7000 50000"]
    assert v2({"cpu": {"period": 20000}}, cpu_max="7000 50000") == ["cpu.max=7000 20000"]
    assert v2({"cpu": {"quota": -1}}, cpu_max="7000 50000") == ["cpu.max=max 50000"]


def test_an_idle_group_has_no_weight() -> None:
    assert v2({"cpu": {"idle": 1, "shares": 512}}) == ["cpu.idle=1"]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (1024, 100), (2048, 174), (262144, 10000), (2**30, 10000)],
)
def test_shares_to_weight(shares: int, weight: int) -> None:
    assert settings_v2.weight_of_shares(shares) == weight


def test_weights_rise() -> None:
    weights = [settings_v2.weight_of_shares(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


def test_block_io() -> None:
    block = {
        "weight": 100,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 500}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 20}],
    }
    assert v1({"blockIO": block}) == [
        "blkio.weight=100",
        "blkio.weight_device=8:0 500",
        "blkio.throttle.read_bps_device=8:0 1000",
        "blkio.throttle.write_iops_device=8:16 20",
    ]
    assert v2({"blockIO": block}) == [
        "io.bfq.weight=100",
        "io.bfq.weight=8:0 500",
        "io.max=8:0 rbps=1000",
        "io.max=8:16 wiops=20",
    ]
    assert [s.others for s in settings_v2.plan({"blockIO": {"weight": 1000}})] == [
        (("io.weight", "10000"),)
    ]


def test_pids_hugetlb_rdma() -> None:
    resources = {
        "pids": {"limit": -1},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}},
    }
    rdma = "rdma.max=mlx5_0 hca_handle=3 hca_object=4"
    assert v1(resources) == [
        "pids.max=max",
        "hugetlb.2MB.limit_in_bytes=4096",
        "hugetlb.2MB.rsvd.limit_in_bytes=4096",
        rdma,
    ]
    assert v2(resources) == [
        "pids.max=max",
        "hugetlb.2MB.max=4096",
        "hugetlb.2MB.rsvd.max=4096",
        rdma,
    ]


def test_network_is_v1_and_unified_is_v2() -> None:
    network = {"classID": 5, "priorities": [{"name": "eth0", "priority": 7}]}
    assert v1({"network": network}) == ["net_cls.classid=5", "net_prio.ifpriomap=eth0 7"]
    with pytest.raises(FailedPrecondition, match=r"network\.classID = 5"):
        v2({"network": network})
    unified = {"memory.high": "1M", "io.max": "8:0 rbps=1\n8:16 rbps=2\n"}
    assert v2({"unified": unified}) == [
        "memory.high=1M",
        "io.max=8:0 rbps=1",
        "io.max=8:16 rbps=2",
    ]
    with pytest.raises(FailedPrecondition, match="needs cgroup v2"):
        v1({"unified": unified})


@pytest.mark.parametrize("file", ["../memory.max", "memory", "a.b/c.d", ""])
def test_unified_names_files_only(file: str) -> None:
    with pytest.raises(InvalidArgument, match="no cgroup file"):
        v2({"unified": {file: "1"}})


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"swappiness": 50}},
        {"memory": {"disableOOMKiller": True}},
        {"cpu": {"realtimeRuntime": 5}},
        {"blockIO": {"leafWeight": 5}},
    ],
)
def test_what_v2_lacks_is_an_error(resources: dict[str, Any]) -> None:
    with pytest.raises(FailedPrecondition, match="v2 has no such limit"):
        v2(resources)


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": []},
        {"memory": {"limit": "1M"}},
        {"memory": {"limit": True}},
        {"memory": {"swappiness": 101}},
        {"cpu": {"cpus": "0\n1"}},
        {"hugepageLimits": [{"pageSize": "2MB/..", "limit": 1}]},
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "rate": 5}]}},
    ],
)
def test_malformed_resources(resources: dict[str, Any]) -> None:
    for plan in (v1, v2):
        with pytest.raises((InvalidArgument, FailedPrecondition)):
            plan(resources)


def test_units() -> None:
    unit = units.parse("kubepods-besteffort-podX.slice:cri-containerd:abc")
    assert unit.name == "cri-containerd-abc.scope"
    assert unit.path == (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podX.slice"
        "/cri-containerd-abc.scope"
    )
    assert units.parse(":docker:x").path == "/system.slice/docker-x.scope"
    assert units.parse("-.slice::x").path == "/x.scope"
    assert units.parse("a.slice::a-b.slice").is_slice


@pytest.mark.parametrize(
    "path", ["/a/b", "a:b", "a.slice:b:", "a:b:c", "a--b.slice:p:c", "../x.slice:p:c"]
)
def test_what_is_no_unit(path: str) -> None:
    with pytest.raises(InvalidArgument):
        units.parse(path)


def test_limits_that_systemd_must_know() -> None:
    resources = {
        "memory": {"limit": MIB, "swap": -1},
        "cpu": {"quota": 33333, "shares": 1024, "cpus": "0-3,9"},
        "pids": {"limit": 7},
    }
    assert dict(units.limit_properties(resources, v2=True)) == {
        "MemoryMax": ("t", MIB),
        "MemorySwapMax": ("t", 2**64 - 1),
        "CPUWeight": ("t", 100),
        "CPUQuotaPerSecUSec": ("t", 340000),
        "AllowedCPUs": ("ay", [0x0F, 0x02]),
        "TasksMax": ("t", 7),
    }
    assert dict(units.limit_properties(resources, v2=False))["CPUShares"] == ("t", 1024)
