"""The image ``host``: this machine's own userland, seen from a container.

``/usr`` and what belongs to it are mounted, read-only and without set-id programs; a small
``/etc`` is written into the container's own layer. Nothing of ``/root``, ``/home``, ``/var`` or
``/etc/shadow`` is there. It is no content: it has no digest, and can't leave the machine.
"""

from __future__ import annotations

import os
import pwd

from corten.errors import FailedPrecondition
from corten.images.types import ImageRecord
from corten.spec import platform
from corten.spec.mount import Mount

NAME = "host"
ID = "host"
_NAMES = (NAME, f"{NAME}:latest", f"docker.io/library/{NAME}:latest")
_TREES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr, where merged
_OPTIONS = ("bind", "ro", "nosuid", "nodev")  # what is mounted below /usr stays outside
_MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}
_EMPTY = ("dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var")
# Public facts of the machine without which its programs do not work as they do outside.
_COPIED = (
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/bash.bashrc",
    "etc/inputrc",
    "etc/debian_version",
    "etc/mime.types",
    "etc/protocols",
    "etc/services",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/ssl/openssl.cnf",
)
_LINK_TREES = ("etc/alternatives",)
_LINKS = ("etc/localtime", "etc/os-release")
_LIMIT = 4 << 20
_GROUPS = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
_PROFILE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def is_host(ref: str) -> bool:
    """Whether a name means this image."""
    return ref in _NAMES


def record(tenant: str) -> ImageRecord:
    """It as a record, which says what it is."""
    here = platform.local()
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    return ImageRecord(
        id=ID,
        tenant=tenant,
        tags=(_NAMES[2],),
        os=here.os,
        architecture=here.architecture,
        variant=here.variant,
        config={
            "architecture": here.architecture,
            "os": here.os,
            "comment": "a view of this machine's own /usr: no digest, no layers; it can't be"
            " pushed, saved or committed",
            "config": {"Env": [_PATH], "Cmd": [shell], "WorkingDir": "/"},
            "rootfs": {"type": "host"},
        },
    )


def refuse(what: str) -> FailedPrecondition:
    """The error for what can only be done with content."""
    return FailedPrecondition(
        f"the image host is a view of this machine: it has no digest and can't be {what}",
        hint="corten image from-host makes an image of programs of this machine",
    )


def mounts() -> tuple[Mount, ...]:
    """What of this machine is mounted, on top of the container's own layer."""
    names = ["usr", *[name for name in _TREES if _is_tree(name)]]
    return tuple(
        [Mount(type="bind", source=f"/{name}", target=name, options=_OPTIONS) for name in names]
    )


def _is_tree(name: str) -> bool:
    return os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}")


def fill(root: str) -> None:
    """Write the directories, links and ``/etc`` into an empty layer. Blocks."""
    for name in (*_EMPTY, "usr", "var/tmp", "etc/ssl/certs", "var/lib", "var/log", "var/cache"):
        os.makedirs(f"{root}/{name}", mode=0o755, exist_ok=True)
    for name, mode in _MODES.items():
        os.chmod(f"{root}/{name}", mode)
    for name in _TREES:
        if os.path.islink(f"/{name}"):
            _link(os.readlink(f"/{name}"), f"{root}/{name}")
        elif _is_tree(name):
            os.makedirs(f"{root}/{name}", exist_ok=True)
    _link("/run", f"{root}/var/run")
    _link("/proc/mounts", f"{root}/etc/mtab")
    _write(f"{root}/etc/passwd", _passwd())
    _write(f"{root}/etc/group", _GROUPS.encode())
    _write(f"{root}/etc/nsswitch.conf", _NSSWITCH.encode())
    _write(f"{root}/etc/profile", _PROFILE.encode())
    for path in _COPIED:
        _copy(path, root)
    for path in _LINKS:
        _copy_link(path, root)
    for directory in _LINK_TREES:
        _copy_links(directory, root)


def _passwd() -> bytes:
    """Root and nobody: who else the machine has is nobody's business."""
    try:
        shell = pwd.getpwuid(0).pw_shell
    except KeyError:
        shell = "/bin/sh"
    return (
        f"root:x:0:0:root:/root:{shell}\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ).encode()


def _link(target: str, path: str) -> None:
    """A symbolic link; one that an interrupted attempt has made stays."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        return


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123  # in a directory of our own
        file.write(data)
    os.chmod(path, 0o644)


def _copy(path: str, root: str) -> None:
    try:
        with open(f"/{path}", "rb") as file:  # noqa: PTH123  # a file of the machine's
            data = file.read(_LIMIT)
    except OSError:
        return
    _write(f"{root}/{path}", data)


def _copy_link(path: str, root: str) -> None:
    try:
        _link(os.readlink(f"/{path}"), f"{root}/{path}")
    except OSError:
        _copy(path, root)


def _copy_links(directory: str, root: str) -> None:
    try:
        names = os.listdir(f"/{directory}")
    except OSError:
        return
    os.makedirs(f"{root}/{directory}", mode=0o755, exist_ok=True)
    for name in names:
        if os.path.islink(f"/{directory}/{name}"):
            _link(os.readlink(f"/{directory}/{name}"), f"{root}/{directory}/{name}")
