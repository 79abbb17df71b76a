"""Where containers' groups are, by path and by systemd."""

from __future__ import annotations

import pytest

from corten.engine.settings import EngineSettings
from corten.errors import InvalidArgument

ID = "ab12"
POD = "kubepods-besteffort-pod1_2.slice"


def settings(driver: str, parent: str = "") -> EngineSettings:
    return EngineSettings(
        root="/r", state="/s", prefix="corten", cgroup_driver=driver, cgroup_parent=parent
    )


@pytest.mark.parametrize(
    ("driver", "own", "parent", "expected"),
    [
        ("cgroupfs", "", "", f"/corten/{ID}"),
        ("cgroupfs", "/other", "", f"/other/{ID}"),
        ("cgroupfs", "/other", "/kubepods/pod1/", f"/kubepods/pod1/{ID}"),
        ("systemd", "", "", f"corten.slice:corten:{ID}"),
        ("systemd", "web.slice", "", f"web.slice:corten:{ID}"),
        ("systemd", "web.slice", "a-b.slice", f"a-b.slice:corten:{ID}"),
        # as the kubelet writes it
        (
            "systemd",
            "",
            f"/kubepods.slice/kubepods-besteffort.slice/{POD}",
            f"{POD}:corten:{ID}",
        ),
    ],
)
def test_a_containers_group(driver: str, own: str, parent: str, expected: str) -> None:
    assert settings(driver, own).container_cgroup(ID, parent) == expected


@pytest.mark.parametrize("parent", ["/kubepods/pod1", "web", "a--b.slice", ".slice", "-.slice"])
def test_systemd_wants_a_slice(parent: str) -> None:
    with pytest.raises(InvalidArgument, match="valid slice named"):
        settings("systemd").container_cgroup(ID, parent)


def test_a_pods_monitors_are_beside_its_containers() -> None:
    assert settings("cgroupfs").pod_monitors_cgroup(ID, "/kubepods/p") == (
        "/kubepods/p/corten-monitors"
    )
    assert settings("systemd").pod_monitors_cgroup(ID, f"/kubepods.slice/{POD}") == (
        f"{POD}:corten-monitors:{ID}"
    )
    assert settings("systemd").pod_monitors_cgroup(ID, "") == ""
