"""Peers that are told to use ``corten-oci``, each started in a directory of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import eventually

Done = subprocess.CompletedProcess[str]


class Engine:
    """A peer's command line with what finds its state.

    Attributes:
        argv: begins every command.
        started: the daemon, if there is one.
    """

    def __init__(self, place: Path, program: str, tree: Path) -> None:
        place.mkdir()
        self.place = place
        self.program = program
        self.tree = tree
        self.argv: list[str] = []
        self.started: subprocess.Popen[bytes] | None = None

    def __call__(self, *words: str, stdin: str = "") -> Done:
        return subprocess.run(
            [*self.argv, *words], input=stdin, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def do(self, *words: str) -> str:
        """A command that has to succeed; its output."""
        done = self(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}{self.log()}"
        return done.stdout

    def daemon(self, *argv: str) -> None:
        """Start a daemon and wait until it answers ``version``."""
        with (self.place / "log").open("wb") as log:
            self.started = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        eventually(
            lambda: self("version").returncode == 0 or self._ended(), deadline=40, what=argv[0]
        )
        assert not self._ended(), self.log()

    def _ended(self) -> bool:
        return self.started is not None and self.started.poll() is not None

    def log(self) -> str:
        """The end of what the daemon said."""
        path = self.place / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def close(self) -> None:
        """End the daemon."""
        if self.started is not None:
            self.started.terminate()
            self.started.wait(40)


class Podman(Engine):
    """podman needs no daemon and no image: it takes a directory."""

    def __init__(self, place: Path, program: str, tree: Path) -> None:
        super().__init__(place, program, tree)
        self.argv = [
            "podman", "--root", f"{place}/root", "--runroot", f"{place}/run",
            "--tmpdir", f"{place}/tmp", "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", program,
        ]  # fmt: skip

    def run(self, *options: str, command: tuple[str, ...]) -> Done:
        """``podman run`` with no network."""
        return self("run", "--network", "none", *options, "--rootfs", str(self.tree), *command)

    def close(self) -> None:
        self("rm", "--force", "--all", "--time", "0")


class Dockerd(Engine):
    """dockerd with its own containerd; every container's network is none."""

    IMAGE = "tree"

    def __init__(self, place: Path, program: str, tree: Path) -> None:
        super().__init__(place, program, tree)
        socket = f"unix://{place}/s"
        self.argv = ["docker", "-H", socket]
        self.daemon(
            "dockerd", "-H", socket, "--data-root", f"{place}/root",
            "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid",
            "--bridge", "none", "--iptables=false", "--ip6tables=false",
            "--ip-forward=false", "--ip-masq=false", "--storage-driver", "vfs",
            "--exec-opt", "native.cgroupdriver=cgroupfs",
            "--add-runtime", f"corten={program}", "--default-runtime", "corten",
        )  # fmt: skip
        with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [*self.argv, "import", "-", self.IMAGE], stdin=tar.stdout,
                capture_output=True, check=True,
            )  # fmt: skip

    def run(self, *options: str, command: tuple[str, ...]) -> Done:
        """``docker run``."""
        return self("run", *options, self.IMAGE, *command)

    def close(self) -> None:
        names = self("ps", "--all", "--quiet").stdout.split()
        if names:
            self("rm", "--force", *names)
        super().close()


class Containerd(Engine):
    """containerd without CRI; ctr says which program its shim executes."""

    def __init__(self, place: Path, program: str, tree: Path) -> None:
        super().__init__(place, program, tree)
        self.argv = ["ctr", "--address", f"{place}/s"]
        config = place / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{place}/root"\nstate = "{place}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{place}/s"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\npath = "{place}/opt"\n'
        )
        self.daemon("containerd", "--config", str(config))

    def run(self, name: str, *options: str, command: tuple[str, ...]) -> Done:
        """``ctr run`` of the tree."""
        return self(
            "run", "--runc-binary", self.program, *options, "--rootfs", str(self.tree), name,
            *command,
        )  # fmt: skip

    def status(self, name: str) -> str:
        """The task's, as ``ctr task ls`` has it; empty without one."""
        for line in self.do("task", "ls").splitlines():
            words = line.split()
            if words and words[0] == name:
                return words[-1]
        return ""

    def close(self) -> None:
        for line in self("task", "ls", "--quiet").stdout.split():
            self("task", "delete", "--force", line)
        for line in self("container", "ls", "--quiet").stdout.split():
            self("container", "rm", line)
        super().close()
