"""What a container may not ask for: the same words through every face."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from corten.engine.checks import check
from corten.engine.types import ContainerConfig
from corten.errors import InvalidArgument

MIB = 1 << 20


def asked(**fields: Any) -> ContainerConfig:
    return msgspec.convert({"image": "x", **fields}, ContainerConfig)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"resources": {"memory": 1024}}, "Minimum memory limit allowed is 6MB"),
    ({"resources": {"memory": 64 * MIB, "memory_swap": MIB}}, "larger than memory limit"),
    ({"resources": {"memory_swap": 64 * MIB}}, "always set the Memory limit"),
    ({"resources": {"memory_swappiness": 101}}, "swappiness range is 0-100"),
    ({"resources": {"memory_reservation": 1024}}, "Minimum memory reservation"),
    (
        {"resources": {"memory": 64 * MIB, "memory_reservation": 65 * MIB}},
        "less than memory reservation",
    ),
    (
        {"resources": {"nano_cpus": 1000 * 10**9}},
        "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
    ),
    ({"resources": {"nano_cpus": 10**9, "cpu_quota": 5000}}, "Nano CPUs and CPU Quota cannot both"),
    ({"resources": {"cpu_period": 10}}, "CPU cfs period"),
    ({"resources": {"cpu_quota": 10}}, "CPU cfs quota"),
    ({"resources": {"cpu_shares": -1}}, r"invalid CPU shares \(-1\)"),
    ({"resources": {"cpuset_cpus": "0-9"}}, "requested 0-9, available: 0-3"),
    ({"resources": {"cpuset_cpus": "abc"}}, "Invalid value abc for cpuset cpus"),
    ({"resources": {"blkio_weight": 5}}, "Range of blkio weight is from 10 to 1000"),
    ({"ulimits": [{"name": "nofile", "soft": 5, "hard": 3}]}, "hard limit: 5 > 3"),
    ({"ulimits": [{"name": "foo", "soft": 1, "hard": 1}]}, "invalid ulimit type: foo"),
    ({"working_dir": "relative"}, "working directory 'relative' is invalid"),
    ({"oom_score_adj": 2000}, r"Invalid value 2000, range for oom score adj is \[-1000, 1000\]"),
    ({"mac_address": "zz"}, "zz is not a valid mac address"),
    ({"restart": {"name": "x"}}, "unknown policy 'x'"),
    ({"restart": {"name": "always", "maximum_retry_count": 1}}, "retry count can only be used"),
    ({"restart": {"name": "always"}, "auto_remove": True}, "'AutoRemove' container with restart"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_what_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        check(asked(**fields), cpus=4)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"resources": {"memory": 6 * MIB, "memory_swap": -1, "nano_cpus": 4 * 10**9}},
        {"resources": {"cpuset_cpus": "0,2-3", "cpu_period": 1000, "cpu_quota": -1}},
        {"ulimits": [{"name": "core", "soft": -1, "hard": -1}], "working_dir": "/x"},
        {"mac_address": "02:42:AC:11:00:02", "restart": {"name": "on-failure"}},
    ],
)
def test_what_is_not(fields: dict[str, Any]) -> None:
    check(asked(**fields), cpus=4)
