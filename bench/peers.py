"""The peers' daemons and ours, each with a root of its own below one directory."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import image
from tests.harness import Daemon
from tests.support import eventually


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def quiet(argv: list[str], **options: object) -> None:
    """Run, without output; a failure shows what it said."""
    done = subprocess.run(  # type: ignore[call-overload]
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, **options
    )
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.returncode}: {done.stdout!r} {done.stderr!r}")


class Peers:
    """Starts what the rows ask for; ``close`` ends all of it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.stack = ExitStack()
        self._docker_host = ""
        self._containerd = ""
        self._ours: Daemon | None = None
        self._registry = False
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def close(self) -> None:
        self.stack.close()

    def _daemon(self, name: str, argv: list[str], ready: Callable[[], bool]) -> None:
        with (self.base / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if name not in self._running:
            self.stack.callback(self._end, name)
        self._running[name] = process

        def probe() -> bool:
            if process.poll() is not None:
                raise AssertionError(
                    f"{name} ended:\n{(self.base / f'{name}.log').read_text()[-3000:]}"
                )
            return ready()

        eventually(probe, deadline=60, what=f"{name} ready")

    def _end(self, name: str) -> None:
        process = self._running[name]
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def registry(self) -> None:
        """docker-registry with the image of :mod:`bench.image`."""
        if self._registry:
            return
        config = self.base / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: "
            f"{self.base}/registry}}}}\nhttp: {{addr: '{image.REGISTRY}'}}\n"
        )
        host, port = image.REGISTRY.split(":")
        self._daemon(
            "registry", ["docker-registry", "serve", str(config)], lambda: listens(host, int(port))
        )
        for name, command in ((image.NAME, ["/bin/sh"]), (image.PAUSE, ["/bin/sleep", "1000000"])):
            layout = self.base / f"layout{len(command)}"
            image.write_layout(layout, command)
            image.push(layout, name)
        self._registry = True

    def docker_host(self) -> str:
        """A dockerd with its containerd; the value for DOCKER_HOST."""
        if self._docker_host:
            return self._docker_host
        self.registry()
        base = self.base / "docker"
        base.mkdir()
        # Containers survive its restart, as ours do; no process per port, as the rows ask.
        settings = {"live-restore": True, "userland-proxy": False}
        (base / "daemon.json").write_text(json.dumps(settings))
        on_tmpfs(base / "exec")
        host = f"unix://{base}/docker.sock"
        self._start_docker(base, host)
        self._docker_host = host
        quiet(["docker", "pull", image.NAME], env={**os.environ, "DOCKER_HOST": host})
        return host

    def _start_docker(self, base: Path, host: str) -> None:
        argv = [
            "/usr/sbin/dockerd", "-H", host, "--data-root", f"{base}/data",
            "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid",
            "--config-file", f"{base}/daemon.json", "--storage-driver", "overlay2",
        ]  # fmt: skip
        self._daemon("dockerd", argv, lambda: docker_answers(host))

    def restart_docker(self) -> None:
        """Another dockerd, which takes over what the first leaves running."""
        host = self.docker_host()
        self._end("dockerd")
        self._start_docker(self.base / "docker", host)

    def podman(self) -> list[str]:
        """podman's words, with roots of its own and the image pulled."""
        self.registry()
        base = self.base / "podman"
        if not base.exists():
            on_tmpfs(base / "run")
        words = [
            "podman", "--root", f"{base}/root", "--runroot", f"{base}/run/root",
            "--tmpdir", f"{base}/run/tmp", "--storage-driver", "overlay", "--runtime", "crun",
            "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        ]  # fmt: skip
        quiet([*words, "pull", "-q", "--tls-verify=false", image.NAME])
        return words

    def containerd(self) -> str:
        """A containerd with the CRI plugin and the bridge CNI; its socket."""
        if self._containerd:
            return self._containerd
        self.registry()
        base = self.base / "containerd"
        base.mkdir()
        config = base / "config.toml"
        sock = base / "containerd.sock"
        on_tmpfs(base / "state")
        config.write_text(
            f"""version = 2
root = "{base}/root"
state = "{base}/state"
[grpc]
address = "{sock}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image.PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{self.cni_conf("peer", "10.97.0.0/16")}"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."{image.REGISTRY}"]
endpoint = ["http://{image.REGISTRY}"]
"""
        )
        self._daemon(
            "containerd",
            ["/usr/bin/containerd", "--config", str(config)],
            lambda: unix_listens(sock),
        )
        self._containerd = str(sock)
        return self._containerd

    def cni_conf(self, name: str, subnet: str) -> Path:
        """A directory with one conf list: Debian's bridge plugin with NAT and the loopback."""
        directory = self.base / f"cni-{name}"
        directory.mkdir(exist_ok=True)
        document = {
            "cniVersion": "1.0.0",
            "name": f"bench-{name}",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": f"cni-{name}",
                    "isGateway": True,
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "subnet": subnet,
                        "dataDir": f"{directory}/ipam",
                    },
                }
            ],
        }
        (directory / "10-bench.conflist").write_text(json.dumps(document))
        return directory

    def ours(self) -> Daemon:
        """Our daemon, with the same image."""
        if self._ours is None:
            self.registry()
            conf = self.cni_conf("ours", "10.98.0.0/16")
            config = f'[network]\ncni_conf_dir = "{conf}"\ncni_bin_dirs = ["/usr/lib/cni"]\n'
            base = self.base / "corten"
            base.mkdir()
            on_tmpfs(base / "s")
            self._ours = Daemon(base, config=config).start()
            self.stack.callback(self._ours.close)
            self._ours.corten("pull", "-q", image.NAME)
        return self._ours


def on_tmpfs(directory: Path) -> None:
    """State directories lie on a tmpfs, as ``/run`` does everywhere else."""
    directory.mkdir(parents=True)
    quiet(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(directory)])


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def unix_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


def docker_answers(host: str) -> bool:
    env = {**os.environ, "DOCKER_HOST": host}
    time.sleep(0.2)
    return (
        subprocess.run(["docker", "version"], env=env, capture_output=True, check=False).returncode
        == 0
    )


def runc_bundle(directory: Path, *, seccomp: dict[str, object] | None) -> Path:
    """A bundle of ``runc spec`` that runs ``/bin/true`` in namespaces of its own."""
    image.write_rootfs(directory / "rootfs")
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=["/bin/true"])
    config["root"]["readonly"] = False
    if seccomp is not None:
        config["linux"]["seccomp"] = seccomp
    path.write_text(json.dumps(config))
    return directory
