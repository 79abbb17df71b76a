"""A root file system of this machine's own programs and the libraries they load."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROGRAMS = (
    "sh", "bash", "cat", "ls", "id", "env", "sleep", "stat", "readlink", "touch", "mkdir",
    "true", "false", "pwd", "echo", "chmod", "dd", "tty", "hostname", "grep", "mount", "umount",
    "ps", "head", "tail", "wc", "mknod", "ln", "rm", "test", "sort", "uname", "od", "stty",
    "findmnt", "python3", "kill", "cut", "tr",
)  # fmt: skip
# What the interpreter needs for a probe with `-IS`; no site, no tests.
PYTHON_LIBRARY = (
    "encodings", "ctypes", "struct.py", "os.py", "stat.py", "posixpath.py", "genericpath.py",
    "_collections_abc.py", "abc.py", "codecs.py", "io.py", "types.py", "__future__.py",
    "signal.py", "enum.py", "functools.py", "collections", "keyword.py", "operator.py",
    "reprlib.py", "socket.py", "selectors.py",
)  # fmt: skip

PASSWD = """root:x:0:0:root:/root:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh
nohome:x:1001:1001:nohome::/bin/sh
"""
GROUP = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\nmore:x:2001:user,root\n"


def build(root: Path) -> None:
    """Make it; ``root`` does not exist yet."""
    for name in ("dev", "etc", "proc", "sys", "tmp", "root", "run", "usr/bin", "home/user"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin"):
        (root / name).symlink_to("usr/bin")
    for program in PROGRAMS:
        _copy_program(root, program)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "usr/bin/plain").write_text("not a program\n")
    (root / "usr/bin/nointerpreter").write_text("#!/does/not/exist\n")
    (root / "usr/bin/nointerpreter").chmod(0o755)
    (root / "usr/bin/garbage").write_bytes(b"\0\1\2\3")
    (root / "usr/bin/garbage").chmod(0o755)
    (root / "tmp").chmod(0o1777)
    _copy_python(root)


def _copy_program(root: Path, name: str) -> None:
    found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    assert found, f"this machine has no {name}"
    shutil.copy(Path(found).resolve(), root / "usr/bin" / name)
    for library in _libraries(found):
        target = root / library.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(library).resolve(), target)


def _libraries(program: str) -> list[str]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    return [word for word in done.stdout.split() if word.startswith("/")]


def _copy_python(root: Path) -> None:
    version = "python3.11"
    source, target = Path("/usr/lib") / version, root / "usr/lib" / version
    (target / "lib-dynload").mkdir(parents=True)
    for name in PYTHON_LIBRARY:
        if (source / name).is_dir():
            shutil.copytree(
                source / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "test*")
            )
        else:
            shutil.copy(source / name, target / name)
    for extension in (source / "lib-dynload").glob("_ctypes.*"):
        shutil.copy(extension, target / "lib-dynload")
        for library in _libraries(str(extension)):
            place = root / library.lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(library).resolve(), place)
