"""The root file system of a container that is removed when it ends."""

from __future__ import annotations

from pathlib import Path

from corten.engine.requesting import forget_volatile, volatile
from corten.spec.mount import Mount


def root(path: Path) -> tuple[Mount, ...]:
    options = ("lowerdir=1/fs", f"upperdir={path}/fs", f"workdir={path}/work")
    return (Mount(type="overlay", source="overlay", options=options),)


def test_only_an_overlay_is_made_volatile(tmp_path: Path) -> None:
    bind = Mount(type="bind", source=str(tmp_path), options=("rbind", "rw"))
    before = root(tmp_path)
    made = volatile((bind, *before))
    assert made[0] == bind
    assert made[1].options == (*before[0].options, "volatile")


def test_the_mark_of_an_earlier_mount_goes(tmp_path: Path) -> None:
    mark = tmp_path / "work/work/incompat/volatile"
    mark.mkdir(parents=True)
    forget_volatile(root(tmp_path))
    assert mark.is_dir()  # it was not ours: such a layer may have lost writes
    for _ in range(2):
        forget_volatile(volatile(root(tmp_path)))
        assert not mark.exists()
