"""The door: numbers, strings, errors."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from corten.kernel import _call, paths
from tests.unit.kernel.isolated import run

HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    1: Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("column", HEADERS)
def test_numbers_are_the_kernel_headers(column: int) -> None:
    if not HEADERS[column].exists():
        pytest.skip("not here: linux-libc-dev")
    text = HEADERS[column].read_text()
    numbers = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    }
    ours = {name: both[column] for name, both in _call._NUMBERS.items()}
    assert ours == {name: numbers[name] for name in ours}


def test_a_failure_has_errno_the_calls_name_and_the_path() -> None:
    with pytest.raises(FileNotFoundError, match="umount2") as caught:
        _call.call("umount2", "/nowhere", b"/nowhere", 0)
    assert caught.value.errno in (errno.ENOENT,)
    assert caught.value.filename == "/nowhere"


def test_a_path_with_nul_is_refused_not_cut() -> None:
    with pytest.raises(OSError, match="null") as caught:
        _call.cstr("/etc\0/x")
    assert caught.value.errno == errno.EINVAL


def test_paths_agree_with_os() -> None:
    for path in ("/a/b", "/a", "a", "a/b", "/", "/a/b/c.d"):
        assert paths.parent(path) == os.path.dirname(path)
        assert paths.name(path) == os.path.basename(path)
    odd = b"/caf\xe9"
    assert paths.fsencode(paths.fsdecode(odd)) == odd


def test_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    target = tmp_path / "a/b/c"
    paths.make_directories(str(target))
    paths.make_directories(str(target))
    assert target.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        paths.make_directories(str(tmp_path / "file"))


def test_nothing_heavy_is_imported() -> None:
    """The list is a budget: each of these was milliseconds, or brings them."""
    loaded = run(
        """
        from corten.kernel import bpf, creds, files, limits, mounts, namespaces, netlink
        from corten.kernel import process, pty, seccomp, sockets
        import corten.cgroups, corten.oci.seccomp.cache
        corten.cgroups.preload(systemd=True)
        print(*sorted(m for m in sys.modules if not m.startswith("corten")))
        """
    ).split()
    started = run("print(*sorted(sys.modules))").split()
    extra = set(loaded) - set(started)
    assert extra <= {
        "__future__",
        "_ctypes",
        "_json",
        "_sha2",
        "_sha256",
        "_signal",
        "_socket",
        "_struct",
        "errno",
        "fcntl",
        "math",
    }
