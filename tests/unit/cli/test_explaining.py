"""An explanation as text."""

from __future__ import annotations

from typing import Any

from corten.cli.commands import explaining

_LISTS = (
    "places",
    "processes",
    "mounts",
    "cgroups",
    "namespaces",
    "links",
    "rules",
    "related",
    "also",
)


def said(**members: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "kind": "volume", "id": "data", "name": "data", "tenant": "docker", "what": "a volume",
        "removal": {"command": "x", "obstacle": "", "takes": [], "leaves": [], "frees": None},
        **{name: [] for name in _LISTS}, **members,
    }  # fmt: skip
    found: dict[str, Any] = explaining.renamed(answer)
    return found


def test_members_are_named_as_in_templates() -> None:
    assert explaining.renamed({"a_b": [{"c": 1}]}) == {"AB": [{"C": 1}]}


def test_sizes_for_people_and_exact() -> None:
    place = {"what": "its files", "path": "/v", "size": 8192, "goes": "yes"}
    shown = said(places=[place])
    assert "  8.19kB  goes with it  its files  /v" in explaining.text_of(shown, exact=False)
    assert "  8192  goes with it  its files  /v" in explaining.text_of(shown, exact=True)


def test_names_that_nobody_chose_are_short() -> None:
    name = "0123456789ab" + "c" * 52
    assert explaining.short(f"volume {name} at /data") == "volume 0123456789ab at /data"
    assert explaining.short(f"/d/{name}") == f"/d/{name}"


def test_sections_without_rows_are_left_out() -> None:
    assert explaining.text_of(said(), exact=False).splitlines() == [
        "volume data (data): a volume", "", "Removal:", "  command  x",
    ]  # fmt: skip


def test_another_object_of_that_name_is_told() -> None:
    text = explaining.text_of(said(also=["network"]), exact=False)
    assert "The name means network, too: --type network" in text


def test_hierarchies_with_the_same_path_are_one_row() -> None:
    groups = [
        {"path": f"/sys/fs/cgroup/{name}/corten/1", "controllers": name, "of": "container"}
        for name in ("pids", "memory")
    ]
    text = explaining.text_of(said(cgroups=groups), exact=False)
    assert "  of the container  corten/1  pids, memory" in text
    unified = [{"path": "/sys/fs/cgroup/corten/1", "controllers": "", "of": "container"}]
    assert "  of the container  corten/1  v2" in explaining.text_of(
        said(cgroups=unified), exact=False
    )


def test_mounts_of_the_kernel_are_counted() -> None:
    mounts = [
        {"target": "/proc", "source": "proc", "type": "proc", "options": "rw", "kernel": True},
        {"target": "/d", "source": "volume d", "type": "ext4", "options": "rw", "kernel": False},
    ]
    text = explaining.text_of(said(mounts=mounts), exact=False)
    assert "  /d" in text
    assert "/proc" not in text
    assert "and 1 of the kernel's own" in text
