"""Driving an OCI runtime by its command line, whichever ``$OCI_RUNTIME`` names."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.support import eventually
from tools.install import write_program

SOURCE = Path(__file__).resolve().parents[2] / "src"
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_NET_BIND_SERVICE",
                "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_MKNOD"]  # fmt: skip
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
DEVPTS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]


def own_runtime(directory: Path) -> list[str]:
    """``corten-oci`` from the working tree, started as the installed one is."""
    script = directory / "corten-oci"
    write_program(script, "corten-oci", (SOURCE,))
    return [str(script)]


def base_config() -> dict[str, Any]:
    """What every test begins with; namespaces but user, cgroup and time are the container's."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/bin:/bin", "LC_ALL=C"],
            "cwd": "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": DEVPTS},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES], "resources": {}},
    }  # fmt: skip


class Bundle:
    """One container: its bundle, its id, and the runtime's commands for it.

    Attributes:
        config: the document, to be changed by the test before it is used.
        rootfs: the root file system, the test's own copy (hard links where it may).
    """

    def __init__(self, runtime: Runtime, path: Path, rootfs: Path) -> None:
        self.runtime = runtime
        self.path = path
        self.rootfs = path / "rootfs"
        self.id = f"t{uuid.uuid4().hex[:10]}"
        self.config = copy.deepcopy(base_config())
        self.config["linux"]["cgroupsPath"] = f"/corten-test/{self.id}"
        path.mkdir()
        # a copy of links would let a test that writes change all others' files
        subprocess.run(["cp", "-a", "--reflink=auto", str(rootfs), str(self.rootfs)], check=True)

    @property
    def process(self) -> dict[str, Any]:
        process: dict[str, Any] = self.config["process"]
        return process

    @property
    def linux(self) -> dict[str, Any]:
        linux: dict[str, Any] = self.config["linux"]
        return linux

    def shell(self, script: str) -> None:
        """The container's program: a shell script."""
        self.process["args"] = ["sh", "-c", script]

    def probe(self, program: str) -> None:
        """The container's program: Python, without the site's modules."""
        self.process["args"] = ["/usr/bin/python3", "-IS", "-c", program]

    def mount(self, destination: str, kind: str, source: str = "", *options: str) -> None:
        self.config["mounts"].append(
            {"destination": destination, "type": kind, "source": source or kind,
             "options": list(options)}
        )  # fmt: skip

    def bind(self, source: Path | str, destination: str, *options: str) -> None:
        self.mount(destination, "bind", str(source), "bind", *options)

    def namespace(self, kind: str, path: str = "") -> None:
        """Replace (or add) one namespace; ``path`` joins."""
        kept = [n for n in self.linux["namespaces"] if n["type"] != kind]
        self.linux["namespaces"] = [*kept, {"type": kind, **({"path": path} if path else {})}]

    def write(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.config))

    # --- commands -----------------------------------------------------------------------

    def run(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """``run`` in the foreground."""
        self.write()
        return self.runtime("run", "--bundle", str(self.path), *options, self.id, **keywords)

    def output(self, script: str = "") -> str:
        """What the container prints; it has to end well."""
        if script:
            self.shell(script)
        done = self.run()
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def create(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """``create`` with its streams in files: init keeps them open."""
        self.write()
        with (self.path / "out").open("w") as out, (self.path / "err").open("w") as err:
            return self.runtime(
                "create", "--bundle", str(self.path), *options, self.id,
                stdout=out, stderr=err, capture=False, **keywords,
            )  # fmt: skip

    def created(self, *options: str, **keywords: Any) -> None:
        done = self.create(*options, **keywords)
        assert done.returncode == 0, self.said()

    def said(self) -> str:
        """What went to the files of :meth:`create`."""
        return (self.path / "err").read_text() + (self.path / "out").read_text()

    def start(self) -> None:
        self.do("start")

    def do(self, command: str, *words: str) -> str:
        """A command that has to succeed; its output."""
        done = self.runtime(command, self.id, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def running(self, script: str = "sleep 60") -> None:
        """Create and start."""
        self.shell(script)
        self.created()
        self.start()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.do("state"))
        return state

    @property
    def pid(self) -> int:
        return int(self.state()["pid"])

    def exec(self, *words: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """``exec``; options come before the id, so they are given as ``options=[…]``."""
        options = keywords.pop("options", [])
        return self.runtime("exec", *options, self.id, *words, **keywords)

    def stopped(self) -> None:
        """Wait for init's end."""
        eventually(lambda: self.state()["status"] == "stopped", what=f"end of {self.id}")

    def delete(self) -> None:
        self.runtime("delete", "--force", self.id)


class Runtime:
    """A runtime's program with a state directory of its own."""

    def __init__(self, argv: list[str], root: Path) -> None:
        self.argv = argv
        self.root = root

    @property
    def own(self) -> bool:
        """Whether it is the one under test; a peer only proves the tests."""
        return "OCI_RUNTIME" not in os.environ

    def __call__(
        self, *words: str, capture: bool = True, **keywords: Any
    ) -> subprocess.CompletedProcess[str]:
        if capture:
            keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords}
        keywords = {"stdin": subprocess.DEVNULL, "timeout": 60, **keywords}
        command = [*self.argv, "--root", str(self.root), *words]
        return subprocess.run(command, text=True, check=False, **keywords)
