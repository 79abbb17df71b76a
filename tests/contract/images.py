"""A root file system of busybox and a config.json with Docker's defaults, for the suites."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh", "true", "false", "cat", "echo", "sleep", "ls", "id", "env", "printf", "yes", "head",
    "tail", "seq", "kill", "ps", "stty", "tty", "mount", "umount", "mkdir", "rm", "touch", "cp",
    "mv", "ln", "chmod", "dd", "wc", "grep", "test", "hostname", "readlink", "nc", "tr",
)  # fmt: skip
CAPABILITIES = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID",
    "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip


def build(root: Path) -> None:
    """Make the layer; ``root`` does not exist yet."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for applet in APPLETS:
        os.link(root / "bin/busybox", root / "bin" / applet)
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n"
    )
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
    (root / "bin/plain").write_text("not a program\n")
    (root / "tmp").chmod(0o1777)


def overlay(lower: Path, where: Path) -> tuple[dict[str, Any], ...]:
    """The mounts of a writable root file system over ``lower``, its layers in ``where``."""
    for name in ("upper", "work"):
        (where / name).mkdir(parents=True)
    options = [f"lowerdir={lower}", f"upperdir={where}/upper", f"workdir={where}/work"]
    return ({"type": "overlay", "source": "overlay", "target": "", "options": options},)


def config(args: list[str], **process: Any) -> dict[str, Any]:
    """A bundle's configuration with Docker's defaults (seccomp apart)."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/bin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            **process,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": _mounts(),
        "linux": {
            "namespaces": [
                {"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network", "cgroup")
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            "resources": {"pids": {"limit": 100}},
        },
    }


def _mounts() -> list[dict[str, Any]]:
    def mount(target: str, kind: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": kind, "source": kind, "options": list(options)}

    return [
        mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount(
            "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"
        ),
        mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    ]
