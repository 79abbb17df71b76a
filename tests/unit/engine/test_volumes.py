"""Volumes: which mounts there are in the end, what lies on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from corten.engine.specgen import mounts as specmounts
from corten.engine.types import Container, ContainerConfig, MountRequest, Volume
from corten.engine.volumes import files, merging, names, using
from corten.errors import InvalidArgument, NotFound
from corten.spec.mount import Mount


def config(**members: Any) -> ContainerConfig:
    return ContainerConfig(image="box", **members)


def other(*mounts: MountRequest) -> Container:
    return Container(
        id="1" * 64, tenant="docker", name="other", config=config(mounts=mounts),
        image_ref="box", image_id="sha256:1", created_at=0,
    )  # fmt: skip


def at(target: str, source: str = "", **more: Any) -> MountRequest:
    return MountRequest(type="volume", target=target, source=source, **more)


# --- merging ---------------------------------------------------------------------------


def test_the_users_mounts_come_before_others_and_the_images() -> None:
    mine = MountRequest(type="bind", source="/host", target="/data/")
    wanted = config(mounts=(mine,), volumes=("/data", "/more", "/theirs"))
    theirs = other(at("/data", "named"), at("/theirs", "named2"))
    found = {m.target: m for m in merging.mounts(wanted, [(theirs, True)])}
    assert found["/data"].type == "bind"
    assert found["/more"].anonymous
    assert (found["/theirs"].source, found["/theirs"].read_only) == ("named2", True)


def test_a_read_only_mount_of_another_stays_so() -> None:
    theirs = other(at("/a", "named", read_only=True))
    assert merging.mounts(config(), [(theirs, False)])[0].read_only


def test_another_ones_anonymous_volume_stays_anonymous() -> None:
    theirs = other(at("/a", "f" * 64, anonymous=True))
    assert merging.mounts(config(), [(theirs, False)])[0].anonymous


@pytest.mark.parametrize("target", ["relative", "/", "//", "/a/../..", ""])
def test_places_that_cant_be(target: str) -> None:
    with pytest.raises(InvalidArgument):
        merging.clean(target)


def test_two_at_one_place() -> None:
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /d"):
        merging.mounts(config(mounts=(at("/d", "aa"), at("/d/", "bb"))), [])


@pytest.mark.parametrize(
    ("text", "expected"), [("db", ("db", False)), ("db:ro", ("db", True)), ("db:rw", ("db", False))]
)
def test_volumes_from(text: str, expected: tuple[str, bool]) -> None:
    assert merging.source_of(text) == expected


def test_volumes_from_in_another_mode() -> None:
    with pytest.raises(InvalidArgument):
        merging.source_of("db:nosuch")


# --- names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ab", "a.b_c-1", "A0", "x" * 255])
def test_names(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize("name", ["a", ".a", "-a", "a/b", "a b", "../a", "x" * 256, "ä1", "aa\n"])
def test_names_that_cant_be(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.check(name)


def test_another_driver() -> None:
    names.check_driver("local")
    with pytest.raises(NotFound, match="plugin"):
        names.check_driver("nosuch")


@pytest.mark.parametrize("options", [{"nosuch": "1"}, {"type": "tmpfs"}, {"device": "x"}])
def test_options_that_cant_be(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        names.check_options("data", options)


# --- what is mounted -------------------------------------------------------------------


def volume(**options: str) -> Volume:
    return Volume(
        name="data", tenant="docker", created_at=0, path="/r/data/_data", options=options or None
    )


def mounted(request: MountRequest, record: Volume) -> dict[str, Any]:
    wanted = config(mounts=(request,))
    made = specmounts.all_mounts(
        wanted, files=(), host_ipc_shm="", user_ns=False, volumes={"data": record}
    )
    return made[-1]


def test_a_directory_is_bound() -> None:
    made = mounted(at("/d", "data", read_only=True), volume())
    assert (made["source"], made["options"]) == ("/r/data/_data", ["rbind", "rprivate", "ro"])


def test_what_a_volume_stands_for_is_bound() -> None:
    made = mounted(at("/d", "data"), volume(type="none", device="/host", o="bind,ro"))
    assert (made["type"], made["source"]) == ("bind", "/host")
    assert made["options"][0] == "bind" and "ro" in made["options"]


def test_a_file_system_is_mounted() -> None:
    made = mounted(at("/d", "data"), volume(type="tmpfs", device="tmpfs", o="size=1m,uid=5"))
    assert (made["type"], made["source"]) == ("tmpfs", "tmpfs")
    assert made["options"] == ["size=1m", "uid=5", "tmpcopyup"]


def test_a_subpath_is_left_to_the_one_who_mounts() -> None:
    made = mounted(at("/d", "data", subpath="a/b"), volume())
    assert made["x-corten-subpath"] == "a/b"


def test_the_root_takes_part_in_propagation() -> None:
    bind = MountRequest(type="bind", source="/a", target="/a", propagation="rshared")
    slave = MountRequest(type="bind", source="/a", target="/b", propagation="slave")
    assert specmounts.root_propagation(config()) == ""
    assert specmounts.root_propagation(config(mounts=(slave,))) == "rslave"
    assert specmounts.root_propagation(config(mounts=(slave, bind))) == "shared"


def test_an_image_is_read_without_writing_to_it() -> None:
    options = ("lowerdir=/l/2:/l/1", "upperdir=/u/fs", "workdir=/u/work", "volatile")
    (made,) = using.for_reading([Mount(type="overlay", source="overlay", options=options)])
    assert made.options == ("lowerdir=/u/fs:/l/2:/l/1",)


# --- on the disk -----------------------------------------------------------------------


def test_filling_is_done_once(tmp_path: Path) -> None:
    base = str(tmp_path / "data")
    staging = Path(files.begin_filling(base))
    (staging / "file").write_text("x")
    staging.chmod(0o750)
    files.filled(base)
    assert (tmp_path / "data/_data/file").read_text() == "x"
    assert (tmp_path / "data/_data").stat().st_mode & 0o777 == 0o750
    assert os.listdir(base) == ["_data"]
    assert files.begin_filling(base) == ""


def test_a_copy_that_was_interrupted_is_thrown_away(tmp_path: Path) -> None:
    base = str(tmp_path / "data")
    Path(files.begin_filling(base), "half").write_text("x")
    staging = files.begin_filling(base)
    assert staging and os.listdir(staging) == []


def test_a_move_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    base = tmp_path / "data"
    staging = Path(files.begin_filling(str(base)))
    (staging / "a").write_text("a")
    (staging / "b").mkdir()
    (staging / "b/c").write_text("c")
    staging.rename(base / "_filled")
    (base / "_filled/a").rename(base / "_data/a")  # so far it came
    files.finish_filling(str(base))
    assert (base / "_data/a").read_text() == "a"
    assert (base / "_data/b/c").read_text() == "c"
    assert os.listdir(base) == ["_data"]


def test_what_a_container_made_meanwhile_stays(tmp_path: Path) -> None:
    base = tmp_path / "data"
    staging = Path(files.begin_filling(str(base)))
    (staging / "a").write_text("image")
    (base / "_data/a").write_text("container")
    files.filled(str(base))
    assert (base / "_data/a").read_text() == "container"


def test_removing_follows_no_link_and_is_not_stopped_by_depth(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    base = tmp_path / "data"
    base.mkdir()
    (base / "link").symlink_to(outside)
    fd = os.open(base, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    files.remove(str(base))
    assert not base.exists()
    assert (outside / "kept").exists()


def test_size_counts_a_file_once_and_follows_no_link(tmp_path: Path) -> None:
    base = tmp_path / "data"
    (base / "sub").mkdir(parents=True)
    (base / "sub/a").write_bytes(b"x" * 1000)
    os.link(base / "sub/a", base / "b")
    (base / "out").symlink_to("/usr")
    assert 1000 <= files.size(str(base)) < 1100
