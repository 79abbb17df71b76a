"""A real daemon of its own for a test: roots, start, kill, stop, and the check for leaks.

Everything of one daemon bears its root directory or its prefix (docs/design.md), so the
check counts only that and other daemons of the machine don't disturb it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.support import eventually

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src"
# Where click and rich lie; an installed Corten has them beside its own package.
SITE = sysconfig.get_path("purelib")


def prefix_of(state: Path) -> str:
    """The prefix of a daemon's names in host-wide name spaces."""
    return "c" + hashlib.sha256(os.fsencode(os.path.realpath(state))).hexdigest()[:6]


class Daemon:
    """One ``cortend`` with roots in a directory of its own."""

    def __init__(self, base: Path | None = None, *, config: str = "") -> None:
        # Short, because a socket's path holds 108 bytes.
        self.base = base or Path(tempfile.mkdtemp(prefix="corten-", dir="/tmp"))
        self.root = self.base / "r"
        self.state = self.base / "s"
        self.prefix = prefix_of(self.state)
        self.config = self.base / "config.toml"
        self.config.write_text(config)
        self.log = self.base / "cortend.log"
        self.process: subprocess.Popen[bytes] | None = None

    # life ------------------------------------------------------------------------------
    def start(self, *, deadline: float = 30.0) -> Daemon:
        """Start it and wait until it accepts connections on every socket."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )
        try:
            eventually(self._ready, deadline=deadline, what="cortend ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.log} ends with\n{self._tail()}") from None
        return self

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def argv(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "corten.daemon",
            "--root",
            str(self.root),
            "--state",
            str(self.state),
            "--config",
            str(self.config),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default"}

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"cortend ended with {self.process.returncode}:\n{self._tail()}")
        return all(accepts(self.state / n) for n in ("corten.sock", "docker.sock", "cri.sock"))

    def kill(self) -> None:
        """``kill -9`` of the daemon alone; containers go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """A clean stop of the daemon; containers go on."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("cortend did not end within 30 s of SIGTERM") from None
        return self.process.returncode

    def restart(self) -> Daemon:
        self.stop()
        return self.start()

    # clients ---------------------------------------------------------------------------
    @property
    def docker_host(self) -> str:
        return f"unix://{self.state}/docker.sock"

    def docker(
        self, *args: str, cli: str = "docker", check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a docker CLI against this daemon and capture its output."""
        env = {**os.environ, "DOCKER_HOST": self.docker_host, "DOCKER_CONFIG": str(self.base)}
        return _run([cli, *args], env=env, check=check, **options)

    def corten(
        self, *args: str, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run ``corten`` against this daemon and capture its output."""
        env = {**os.environ, "CORTEN_STATE": str(self.state)}
        program = (
            f"import sys; sys.path[:0] = [{str(SOURCE)!r}, {SITE!r}]; "
            "from corten.cli.thin import main; sys.exit(main())"
        )
        return _run(
            ["/usr/bin/python3", "-IS", "-c", program, *args], env=env, check=check, **options
        )

    # end -------------------------------------------------------------------------------
    def remove_all(self) -> None:
        """Remove every container and pod through the API, for the teardown."""
        from corten.client import Client  # the client is what is tested: import it late

        client = Client(str(self.state / "corten.sock"))
        try:
            client.remove_everything()
        finally:
            client.close()

    def close(self) -> None:
        """Remove everything, stop, and fail if something is left behind."""
        try:
            if self.process is not None:
                if self.process.poll() is not None:
                    self.start()
                try:
                    self.remove_all()
                finally:
                    self.stop()  # a daemon that outlives its test would disturb the next ones
            eventually(lambda: not self.leaks(), deadline=15, what=f"no leaks: {self.leaks()}")
        except AssertionError as error:
            raise AssertionError(f"{error}; leaks: {self.leaks()}; log: {self.log}") from None
        shutil.rmtree(self.base, ignore_errors=True)

    def leaks(self) -> list[str]:
        """What bears this daemon's root or prefix and should not be there any more."""
        return (
            leaked_mounts(self.base)
            + leaked_cgroups(self.prefix)
            + leaked_links(self.prefix)
            + leaked_loops(self.base)
            + leaked_processes(self.base)
        )


def _run(
    argv: list[str], *, env: dict[str, str], check: bool, **options: object
) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "timeout": 60, **options}
    if "input" in settings:
        del settings["stdin"]
    done: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
        argv, env=env, text=True, capture_output=True, check=False, **settings
    )
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(argv[-6:])}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done


def accepts(path: Path) -> bool:
    """Whether somebody listens at this UNIX socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


# --- leaks ------------------------------------------------------------------------------


def leaked_mounts(base: Path) -> list[str]:
    """Mounts below the roots; the state directory may be a tmpfs of the caller's own."""
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [row.split()[4] for row in rows if f"{base}/" in row]
    return [f"mount {place}" for place in places if place != f"{base}/s"]


def leaked_cgroups(prefix: str) -> list[str]:
    """Groups that bear the prefix, below any hierarchy (one of our own processes' may stay
    as long as these live, so it counts only when the processes are gone too)."""
    found = []
    for directory, names, _files in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name == prefix or name.startswith(f"{prefix}-") or f"{prefix}/" in f"{directory}/":
                found.append(f"cgroup {directory}/{name}")
    return found


def leaked_links(prefix: str) -> list[str]:
    """Links that bear the prefix; the bridge itself stays with the installation."""
    names = os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net") else []
    pattern = re.compile(rf"^{re.escape(prefix)}")
    return [f"link {n}" for n in names if pattern.match(n) and not _is_bridge(n)]


def _is_bridge(name: str) -> bool:
    return os.path.isdir(f"/sys/class/net/{name}/bridge")


def leaked_loops(base: Path) -> list[str]:
    found = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if str(base) in entry.read_text():
                found.append(f"loop device {entry.parent.parent.name}")
        except OSError:
            continue
    return found


def leaked_processes(base: Path) -> list[str]:
    """Processes whose command line, or any open descriptor, lies below the daemon's roots."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            words = (
                Path(f"/proc/{entry}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
            links = [
                os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")
            ]
            links.append(os.readlink(f"/proc/{entry}/cwd"))
        except OSError:
            continue
        if f"{base}/" in words or any(link.startswith(f"{base}/") for link in links):
            found.append(f"process {entry}: {words[:120]}")
    return found


def wait_gone(pid: int, *, deadline: float = 10.0) -> None:
    """Until a process (not a child of ours) is gone or a zombie."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        if stat.rsplit(")", 1)[1].split()[0] in "ZX":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still there after {deadline} s")
