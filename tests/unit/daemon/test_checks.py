"""What follows from findings, and how single facts are found."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from corten.daemon.checks import groups, kernelcalls, net, storage
from corten.daemon.checks.finding import Area, Finding
from corten.daemon.checks.report import report


def finding(need: str, status: str) -> Finding:
    return Finding(area="kernel", name="x", need=need, status=status)  # type: ignore[arg-type]


def test_only_what_is_needed_decides() -> None:
    nice = report([finding("nice", "missing"), finding("needed", "unknown")])
    assert (nice.ok, nice.missing, nice.nice, nice.unknown) == (True, 0, 1, 1)
    bad = report([finding("needed", "missing"), finding("nice", "ok")])
    assert (bad.ok, bad.missing, bad.nice) == (False, 1, 0)


def test_remedy_is_told_only_where_something_is_missing() -> None:
    area = Area("network")
    for ok in (True, False, None):
        area.add("x", ok, without="nothing works", remedy="do it")
    assert [(f.status, f.remedy) for f in area.findings] == [
        ("ok", ""),
        ("missing", "do it"),
        ("unknown", "do it"),
    ]


@pytest.mark.parametrize(
    ("release", "ok"), [("6.1.0-13-amd64", True), ("5.10", True), ("5.4.0", False), ("?", False)]
)
def test_version(release: str, ok: bool) -> None:
    area = Area("kernel")
    kernelcalls._version(area, release)
    assert (area.findings[0].status == "ok") is ok


def test_a_call_that_is_filtered_is_missing() -> None:
    def refused() -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    def looked() -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    assert kernelcalls.works(refused) == (False, "Function not implemented")
    assert kernelcalls.works(looked) == (True, "")


def test_no_tree_of_cgroups(tmp_path: Path) -> None:
    (only,) = groups.check(str(tmp_path))
    assert (only.name, only.need, only.status) == ("tree", "needed", "missing")
    assert "mount -t cgroup2" in only.remedy


def test_nearest_directory(tmp_path: Path) -> None:
    assert storage.nearest(f"{tmp_path}/a/b") == str(tmp_path)
    assert storage.nearest("/nothing/here") == "/"


def test_name_servers(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    for text, status in (("", "missing"), ("nameserver\nnameserver 192.0.2.1\n", "ok")):
        file.write_text(text)
        area = Area("network")
        net._names(area, file)
        assert area.findings[0].status == status


def test_real_findings_are_whole() -> None:
    found = [*kernelcalls.check(), *groups.check()]
    assert all(one.remedy and one.without for one in found if one.status == "missing")
    if os.geteuid() == 0:
        assert {"Linux", "pidfd_open", "tree"} <= {one.name for one in found if one.status == "ok"}
