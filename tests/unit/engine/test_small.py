"""Small things: ids and names, log settings, directories, the old launcher, the pool of
network namespaces, the host's devices."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corten.engine import hostfacts, ids, logconfig, oldlauncher
from corten.engine.netns import NetnsPool
from corten.engine.trees import fresh_directory, remove_tree
from corten.engine.types import LogConfig
from corten.errors import InvalidArgument, Unavailable


def test_ids_are_no_numbers() -> None:
    for _ in range(100):
        value = ids.new_id()
        assert len(value) == 64
        assert not value[:12].isdecimal()


def test_random_names_avoid_what_is_taken() -> None:
    seen: set[str] = set()
    for _ in range(500):
        name = ids.random_name(seen.__contains__)
        assert ids.check_name(name) == name
        seen.add(name)
    assert len(seen) == 500
    assert ids.random_name(lambda _name: True).startswith("container_")


@pytest.mark.parametrize("name", ["", "a", "-ab", "a b", "a/b", "ä1"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid container name"):
        ids.check_name(name)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10m", 10 << 20), ("1.5k", 1536), ("100", 100), ("2gb", 2 << 30), ("-1", 0), ("3KiB", 3072)],
)
def test_log_sizes(text: str, size: int) -> None:
    assert logconfig.parse_size(text) == size


@pytest.mark.parametrize(
    "config",
    [
        LogConfig(driver="syslog"),
        LogConfig(options={"max-size": "much"}),
        LogConfig(options={"max-file": "0"}),
        LogConfig(options={"bogus": "1"}),
        LogConfig(driver="cri", path="relative"),
    ],
)
def test_log_settings_that_are_refused(config: LogConfig) -> None:
    with pytest.raises(InvalidArgument):
        logconfig.check(config)


def test_trees_follow_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/link").symlink_to(outside)
    (tree / "a/b/file").touch()
    fresh_directory(str(tree))
    assert list(tree.iterdir()) == []
    assert tree.stat().st_mode & 0o777 == 0o700
    remove_tree(str(tree))
    remove_tree(str(tree))
    assert (outside / "kept").exists()


HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, str(os.getpid()).encode())
print("locked", flush=True)
sys.stdin.read()
"""


def test_an_old_launcher_is_waited_for_and_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldlauncher.await_end(str(tmp_path))  # none was ever there
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "launcher.lock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        monkeypatch.setattr(oldlauncher, "_PATIENCE", 0.05)
        oldlauncher.await_end(str(tmp_path))
        assert holder.wait(10) == -9
    lock = os.open(tmp_path / "launcher.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is free for our own
    os.close(lock)


class FakeLauncher:
    """Gives pipes for namespaces; or nothing, like a launcher that has died."""

    def __init__(self) -> None:
        self.given = 0
        self.dead = False

    async def netns(self, pin: str = "") -> tuple[int, int]:
        if self.dead:
            raise Unavailable("the launcher has ended")
        self.given += 1
        return os.pipe()


async def test_the_stock_of_namespaces_is_refilled_in_quiet_moments() -> None:
    launcher = FakeLauncher()
    pool = NetnsPool(launcher, size=2)  # type: ignore[arg-type] # a fake
    taken = [await pool.take()]  # the stock is empty: made at once
    assert launcher.given == 1
    async with asyncio.timeout(5):
        while launcher.given < 3:
            await asyncio.sleep(0.01)
    launcher.dead = True
    taken += [await pool.take(), await pool.take()]
    with pytest.raises(Unavailable):
        await pool.take()
    for one in taken:
        one.close()
        one.close()
    await pool.close()


def test_devices_of_the_host(tmp_path: Path) -> None:
    null = hostfacts.device("/dev/null")
    assert (null.kind, null.major, null.minor) == ("c", 1, 3)
    with pytest.raises(InvalidArgument):
        hostfacts.device(str(tmp_path / "none"))
    with pytest.raises(InvalidArgument, match="not a device"):
        hostfacts.device(str(tmp_path))
    paths = {device.path for device in hostfacts.all_devices()}
    assert "/dev/null" in paths
    assert not any(path.startswith("/dev/pts/") for path in paths)
