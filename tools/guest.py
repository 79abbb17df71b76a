#!/usr/bin/env python3
"""The guest of the vm lane: Debian with systemd and cgroup v2 under QEMU (software emulation).

``build`` makes the guest's disk (mmdebstrap, mke2fs) and the directory of Corten's locked
dependencies, both cached by the digest of what they are made from. The tests boot it with a
second disk that holds the working tree and the script that the guest runs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("CORTEN_CACHE") or REPOSITORY / ".cache")
SUITE = "bookworm"
PACKAGES = (
    "busybox-static", "ca-certificates", "containernetworking-plugins", "curl", "dbus",
    "initramfs-tools", "iproute2", "kmod", "libnftables1", "libseccomp2",
    "linux-image-cloud-amd64", "make", "nftables", "procps", "python3", "python3-pip",
    "systemd", "systemd-sysv", "udev", "util-linux",
)  # fmt: skip
DISK_MIB = 3072

UNIT = """[Unit]
Description=What the second disk says
After=multi-user.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /mnt; mount -o ro /dev/vdb /mnt; exec /bin/bash /mnt/guest.sh'
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
TimeoutStartSec=infinity
[Install]
WantedBy=default.target
"""


def digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def guest_dir() -> Path:
    return CACHE / "guest" / digest(SUITE, *PACKAGES, UNIT, str(DISK_MIB))


def deps_dir() -> Path:
    lock = (REPOSITORY / "requirements/runtime.txt").read_text()
    return CACHE / "deps" / digest(lock)


def run(*argv: str) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"guest: {argv[0]} failed with {done.returncode}:\n{done.stdout[-3000:]}")


def publish(staging: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(final)


def build_disk() -> None:
    final = guest_dir()
    if final.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    print("guest: making Debian's disk (about a minute)", flush=True)
    with tempfile.TemporaryDirectory(prefix="guest-", dir=CACHE) as work:
        tree = Path(work) / "tree"
        out = Path(work) / "out"
        out.mkdir()
        run(
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"', SUITE, str(tree),
        )  # fmt: skip
        configure(tree)
        shutil.copyfile(next((tree / "boot").glob("vmlinuz-*")), out / "vmlinuz")
        shutil.copyfile(next((tree / "boot").glob("initrd.img-*")), out / "initrd")
        make_disk(tree, out / "disk.ext4", DISK_MIB)
        shutil.rmtree(tree)
        publish(out, final)


def configure(tree: Path) -> None:
    (tree / "etc/hostname").write_text("guest\n")
    (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    unit = tree / "etc/systemd/system/guest-main.service"
    unit.write_text(UNIT)
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "guest-main.service").symlink_to("/etc/systemd/system/guest-main.service")
    shutil.rmtree(tree / "var/cache/apt", ignore_errors=True)


def make_disk(tree: Path, disk: Path, mebibytes: int) -> None:
    run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(disk), f"{mebibytes}M")


def build_deps() -> None:
    final = deps_dir()
    if final.exists():
        return
    sys.path.insert(0, str(REPOSITORY))
    from tools import install

    CACHE.mkdir(parents=True, exist_ok=True)
    print("guest: installing the locked dependencies", flush=True)
    staging = Path(tempfile.mkdtemp(prefix="deps-", dir=CACHE))
    install.pip_target(staging, REPOSITORY / "requirements/runtime.txt")
    install.compile_tree(staging, Path("/opt/corten") / install.version() / "lib")
    publish(staging, final)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("build",))
    parser.parse_args()
    build_disk()
    build_deps()
    return 0


if __name__ == "__main__":
    sys.exit(main())
