"""One boot of Debian's kernel with systemd and cgroup v2, and one reboot: what this host
can't show. The guest prints a ``CHECK`` line for each thing that it tried."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import guest

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKS = (
    "install",
    "unit-starts",
    "enable",
    "hello",
    "stopped-with-its-scope",
    "limited",
    "limits-in-v2-files",
    "limits-seen-inside",
    "monitors-outside-unit",
    "scope-of-a-container",
    "pod-in-its-slice",
    "exec",
    "kill-9-of-the-daemon",
    "exec-after-kill",
    "restart-of-the-unit",
    "restart-after-an-upgrade",
    "exited-after-reboot",
    "starts-again",
    "stops",
    "nothing-left",
)
BOOT_MINUTES = 12
SILENCE = 360  # seconds


def second_disk(directory: Path) -> Path:
    """The working tree, the dependencies and the script."""
    tree = directory / "second"
    source = tree / "source"
    for name in ("src", "tools", "packaging", "requirements"):
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True)
    for name in ("Makefile", "pyproject.toml", "README.md"):
        shutil.copyfile(REPOSITORY / name, source / name)
    (tree / "deps").symlink_to(guest.deps_dir())
    for name in ("guest.sh", "pod.py"):
        shutil.copyfile(Path(__file__).with_name(name), tree / name)
    (tree / "deps").unlink()
    shutil.copytree(guest.deps_dir(), tree / "deps")
    disk = directory / "second.ext4"
    guest.make_disk(tree, disk, 512)
    shutil.rmtree(tree)
    return disk


def qemu(directory: Path, second: Path) -> list[str]:
    base = guest.guest_dir()
    # a full disk of the host is an error in the guest, not a guest that stands still
    drive = "if=virtio,format=raw,snapshot=on,werror=report,file="
    return [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", "2", "-m", "1536", "-nographic", "-no-user-config", "-nodefaults",
        "-serial", f"file:{directory}/boot", "-serial", f"file:{directory}/console", "-nic", "none",
        "-monitor", f"unix:{directory}/monitor,server=on,wait=off",
        "-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd"),
        "-append", "root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=1",
        "-drive", f"{drive}{base}/disk.ext4", "-drive", f"{drive}{second}",
    ]  # fmt: skip


def asked(monitor: Path) -> str:
    """What QEMU says of a guest that stands still: running or paused, and where its CPUs are."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(monitor))
        connection.sendall(b"info status\ninfo registers -a\nquit\n")
        said = connection.makefile("rb").read().decode(errors="replace")
    rows = [row for row in said.splitlines() if row.startswith(("VM status", "RIP="))]
    free = shutil.disk_usage(tempfile.gettempdir()).free >> 20
    return "; ".join([*rows, f"{free} MB free on the host's disk"])


def boots(directory: Path, argv: list[str]) -> bool:
    """Run the guest to its end; false: it stood still. Its script says something at least every
    four minutes, so silence is the emulator's, or the kernel's."""
    console, end = directory / "console", time.monotonic() + BOOT_MINUTES * 60
    size, since = 0, time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
            if console.exists() and console.stat().st_size != size:
                size, since = console.stat().st_size, time.monotonic()
            if time.monotonic() - since > SILENCE:
                print(f"the guest stands still: {asked(directory / 'monitor')}")
                process.kill()
                return False
        process.kill()  # what is missing on the console fails below, by name
    return True


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Everything that the guest printed, after its two boots."""
    if not guest.guest_dir().exists():
        pytest.fail("no guest's disk: run `make vm`, which builds it")
    directory = tmp_path_factory.mktemp("vm")
    argv = qemu(directory, second_disk(directory))
    if not boots(directory, argv):
        boots(directory, argv)
    yield (directory / "console").read_text(errors="replace")


@pytest.mark.timeout(2 * BOOT_MINUTES * 60)
@pytest.mark.parametrize("name", CHECKS)
def test_guest(console: str, name: str) -> None:
    rows = [row for row in console.splitlines() if row.startswith(f"CHECK {name} ")]
    assert rows, f"the guest never came to {name}; its last words:\n{console[-3000:]}"
    assert rows[0].strip() == f"CHECK {name} ok", f"{rows[0]}\n{console[-6000:]}"
