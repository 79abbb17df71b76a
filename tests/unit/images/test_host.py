"""Images of programs of this machine."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from corten.errors import InvalidArgument, NotFound
from corten.images.host import archive, closure, elf, hello
from tests.conftest import needs_root
from tests.unit.images.conftest import Store


def loaded_by(program: str) -> set[str]:
    """What the loader itself says that a program loads."""
    loader = elf.read(os.path.realpath(program))
    assert loader is not None
    text = subprocess.run(
        [loader.interpreter, "--list", program], check=True, capture_output=True, text=True
    ).stdout
    words = [word for line in text.splitlines() for word in line.split()]
    return {os.path.realpath(word) for word in words if word.startswith("/")}


@pytest.mark.parametrize("program", ["/bin/sh", "/usr/bin/python3", "/usr/bin/tar", "/bin/mount"])
def test_libraries_are_those_that_the_loader_loads(program: str) -> None:
    found, _ = closure.collect([program])
    real = {os.path.realpath(path) for path in found.paths if os.path.isfile(path)}
    assert loaded_by(program) <= real


def test_names_are_looked_up_and_links_kept() -> None:
    found, paths = closure.collect(["sh"])
    assert paths == [shutil.which("sh")]
    shell = "/usr/bin/sh"
    if os.path.islink(shell):
        assert shell in found.paths
        assert os.path.realpath(shell) in found.paths


def test_scripts_bring_their_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env -S sh -e\n")
    script.chmod(0o755)
    found, _ = closure.collect([str(script)])
    assert {str(script), "/usr/bin/env"} <= found.paths
    assert any(path.endswith("/sh") for path in found.paths)


def test_search_paths_of_the_program(tmp_path: Path) -> None:
    needs = elf.Needs(machine=(64, "EM_X86_64"), interpreter="", needed=(), search=(str(tmp_path),))
    libc = next(path for path in loaded_by("/bin/sh") if "libc" in path)
    real = elf.read(libc)
    assert real is not None
    shutil.copy(libc, tmp_path / "libmine.so")
    libraries = elf.Libraries()
    wanted = elf.Needs(machine=real.machine, interpreter="", needed=(), search=needs.search)
    assert libraries.find("libmine.so", wanted, (), "x") == f"{tmp_path}/libmine.so"
    with pytest.raises(NotFound, match="needs the library libnone"):
        libraries.find("libnone.so.1", wanted, (), "x")


def test_what_is_no_program(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    plain.chmod(0o644)
    with pytest.raises(InvalidArgument, match="can't be executed"):
        closure.collect([str(plain)])
    with pytest.raises(NotFound, match="no program nosuchprogram"):
        closure.collect(["nosuchprogram"])
    with pytest.raises(NotFound):
        closure.collect([str(tmp_path)])


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as reader:
        return {member.name: member for member in reader}


def test_the_archive_is_reproducible_and_minimal() -> None:
    found, _ = closure.collect(["true"])
    made = []
    for _ in range(2):
        out = io.BytesIO()
        archive.write(out, found, {"x/y": archive.Extra(content=b"z", mode=0o700)})
        made.append(out.getvalue())
    assert made[0] == made[1]
    entries = members(made[0])
    assert entries["tmp"].mode == 0o1777
    assert entries["x/y"].mode == 0o700
    assert {"etc/passwd", "etc/group", "proc", "sys", "dev", "x"} <= set(entries)
    assert list(entries) == sorted(entries)
    assert {(e.uid, e.gid) for e in entries.values()} == {(0, 0)}
    assert not [e.name for e in entries.values() if e.mode & 0o6000]


@needs_root
async def test_an_image_that_runs(store: Store, tmp_path: Path) -> None:
    image = await store.images.from_host("docker", "tools:1", ["sh", "echo"], cmd=["sh"])
    again = await store.images.from_host("docker", "tools:2", ["sh", "echo"], cmd=["sh"])
    assert again.id == image.id
    assert again.tags == ("docker.io/library/tools:1", "docker.io/library/tools:2")
    assert image.config["config"]["Cmd"] == ["sh"]
    assert image.layers == (image.chain_id,)
    root = store.snapshots.layer(image.chain_id).path
    run = ["chroot", root, "/bin/sh", "-c", "/bin/echo hello"]
    assert subprocess.run(run, check=True, capture_output=True).stdout == b"hello\n"


@needs_root
async def test_hello_is_made_once_and_says_what_it_sees(store: Store) -> None:
    image = await store.images.ensure_hello("docker")
    assert await store.images.ensure_hello("docker") == image
    mounts = await store.snapshots.prepare("c", image.chain_id)
    script = (
        f"mount -t overlay overlay -o {','.join(mounts[0].options)} {store.root}/mnt && "
        f"mount -t proc proc {store.root}/mnt/proc && exec chroot {store.root}/mnt /usr/bin/hello"
    )
    (store.root / "mnt").mkdir()
    run = ["unshare", "-mpf", "sh", "-c", script]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    for word in ("Hello from a Corten container", "container id", "host name", "process id"):
        assert word in said
    assert f"net            {os.readlink('/proc/self/ns/net')}" in said
    assert "overlay        read and write" in said
    assert set(hello.REQUIRED) <= set(hello.PROGRAMS)


async def test_bad_requests(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.images.from_host("docker", "x", ["nosuchprogram"])
    with pytest.raises(InvalidArgument, match="no program"):
        await store.images.from_host("docker", "x", [])
    with pytest.raises(InvalidArgument, match="invalid reference"):
        await store.images.from_host("docker", "UPPER", ["sh"])
    with pytest.raises(InvalidArgument, match="has a digest"):
        await store.images.from_host("docker", "x@sha256:" + "a" * 64, ["sh"])
    store.assert_empty()
