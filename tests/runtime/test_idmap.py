"""Id-mapped mounts: files show other owners than they have on disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import Bundle

ON_DISK = 100_000
SHOW = "stat -c %u:%g /mapped/file; stat -c %u:%g /mapped/inner/file"


@pytest.fixture
def volume(tmp_path: Path, ours: None) -> Path:
    """A directory with a file of another's and one on a mount of its own."""
    directory = tmp_path / "volume"
    (directory / "inner").mkdir(parents=True)
    for place in (directory, directory / "inner"):
        (place / "file").write_text("x")
        os.chown(place / "file", ON_DISK, ON_DISK)
        os.chown(place, ON_DISK, ON_DISK)
    return directory


def mapping(inside: int, outside: int) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": outside, "size": 1000}]


def mapped(box: Bundle, source: Path, *options: str, **maps: Any) -> None:
    box.config["mounts"].append(
        {"destination": "/mapped", "source": str(source), "options": list(options), **maps}
    )


def user_namespace(box: Bundle) -> None:
    box.namespace("user")
    box.linux["uidMappings"] = box.linux["gidMappings"] = mapping(0, 200_000)
    os.chown(box.rootfs, 200_000, 200_000)


def test_a_mapping_of_its_own(box: Bundle, volume: Path) -> None:
    maps = mapping(ON_DISK, 5)
    mapped(box, volume, "bind", "idmap", uidMappings=maps, gidMappings=maps)
    assert box.output("stat -c %u:%g /mapped/file") == "5:5\n"


def test_what_is_written_has_the_owner_on_disk(box: Bundle, volume: Path) -> None:
    maps = mapping(ON_DISK, 0)
    mapped(box, volume, "bind", uidMappings=maps, gidMappings=maps)
    box.output("echo new >/mapped/new")
    assert (volume / "new").stat().st_uid == ON_DISK


@pytest.mark.parametrize(("word", "inner"), [("idmap", ON_DISK), ("ridmap", 7)])
def test_below_only_where_asked(box: Bundle, volume: Path, word: str, inner: int) -> None:
    maps = mapping(ON_DISK, 7)
    source = box.path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "file").write_text("x")
    os.chown(source / "file", ON_DISK, ON_DISK)
    subprocess.run(["mount", "--bind", volume / "inner", source / "inner"], check=True)
    try:
        mapped(box, source, "rbind", word, uidMappings=maps, gidMappings=maps)
        assert box.output(SHOW) == f"7:7\n{inner}:{inner}\n"
    finally:
        subprocess.run(["umount", source / "inner"], check=True)


def test_the_containers_own_mapping(box: Bundle, volume: Path) -> None:
    """``idmap`` alone: what is root's on disk is root's inside."""
    os.chown(volume / "file", 0, 0)
    user_namespace(box)
    mapped(box, volume, "bind", "idmap")
    assert box.output("stat -c %u:%g /mapped/file") == "0:0\n"


def test_without_any_mapping_is_an_error(box: Bundle, volume: Path) -> None:
    mapped(box, volume, "bind", "idmap")
    done = box.run()
    assert done.returncode == 1
    assert "needs uidMappings and gidMappings" in done.stderr


def test_a_bind_mount_alone_can_be_mapped(box: Bundle, ours: None) -> None:
    maps = mapping(0, 5)
    box.config["mounts"].append(
        {"destination": "/t", "type": "tmpfs", "source": "t", "uidMappings": maps,
         "gidMappings": maps}
    )  # fmt: skip
    assert "id-mapped mounts are for bind mounts alone" in box.run().stderr
