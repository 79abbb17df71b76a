"""A daemon that is going to be killed: its processes by name, its faults, and what it holds."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from corten.client import Client
from corten.client.records import Container
from tests.cri.client import Cri
from tests.cri.conftest import CriDaemon, make_image
from tests.faults.inventory import inventory
from tests.harness import wait_gone
from tests.support import eventually

IMAGE = "tools"
BUSYBOX = "/bin/busybox"
SHELL = [BUSYBOX, "sh", "-c"]
SLEEPER = [*SHELL, "trap 'exit 5' TERM; sleep 1000 & wait"]
COUNTER = [*SHELL, "i=0; while :; do echo line $i; i=$((i+1)); usleep 2000; done"]
_CRASHING = Path(__file__).with_name("crashing.py")


class Machine(CriDaemon):
    """One ``cortend`` in a network namespace of its own, with an image for both tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.order = self.base / "crash"
        self.before: set[str] = set()

    def argv(self) -> list[str]:
        """The daemon, in a program that kills itself where :meth:`crash_at` says."""
        words = super().argv()
        at = words.index(sys.executable)
        return [*words[: at + 1], str(_CRASHING), str(self.order), *words[at + 3 :]]

    def set_up(self) -> Machine:
        """Start, make the image, run one container: what comes with the first use is there."""
        self.start()
        with self.client() as client:
            client.images.from_host(IMAGE, [BUSYBOX])
            client.containers.run(IMAGE, [BUSYBOX, "true"])
        make_image(self)
        eventually(self._idle, what="nothing of the container is left")
        return self

    def _idle(self) -> bool:
        """What a container leaves for a moment would be missing later, the monitor that is forked
        for the next one would be too many."""
        self.before = self.inventory()
        passing = ("state ", "link ", "row 1 of endpoints", "row 1 of containers")
        if any(one.startswith(passing) for one in self.before):
            return False
        layers = sum(one.endswith(" of layers") for one in self.before)
        snapshots = [one for one in self.before if one.startswith(f"disk {self.root}/snapshots/")]
        if len(snapshots) != layers + 1:  # and the directory of what is being deleted
            return False
        return any(one.startswith("process corten-spare ") for one in self.before)

    def inventory(self) -> set[str]:
        return inventory(self.root, self.state, self.prefix, self._holder.pid)

    def settled(self, *, deadline: float = 20.0) -> None:
        """Nothing was leaked and nothing lost since :meth:`set_up`."""

        def differences() -> list[str]:
            now = self.inventory()
            return sorted(f"+ {one}" for one in now - self.before) + sorted(
                f"- {one}" for one in self.before - now
            )

        last: list[str] = []

        def probe() -> bool:
            last[:] = differences()
            return not last

        try:
            eventually(probe, deadline=deadline)
        except AssertionError:
            self.before = self.inventory()  # the next test is measured by itself
            raise AssertionError(f"not as before; log: {self.log}\n" + "\n".join(last)) from None

    # clients -------------------------------------------------------------------------------
    @contextlib.contextmanager
    def client(self, tenant: str = "docker") -> Iterator[Client]:
        with Client(str(self.state / "corten.sock"), tenant=tenant) as client:
            yield client

    def cri(self) -> Cri:
        return Cri(self.state / "cri.sock")

    def container(self, client: Client, name: str) -> Container | None:
        """By its name; None where there is none."""
        return next((one for one in client.containers.list() if one.name == name), None)

    # processes -----------------------------------------------------------------------------
    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def launcher(self) -> int:
        """The launcher that is ready now."""

        def found() -> int:
            with self.client() as client:
                return int(client.info()["launcher_pid"])

        return eventually(found, what="a launcher")

    def kill_launcher(self) -> None:
        """``kill -9`` of it, and wait until another one is there."""
        old = self.launcher
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.launcher != old, what="another launcher")

    def monitor(self, object_id: str, kind: str = "run") -> int:
        """The process id of a container's (``run``) or a pod's (``pods``) monitor."""
        from corten.launch.client import read_state

        state = read_state(str(self.state / kind / object_id))
        assert state is not None
        return state.monitor_pid

    def kill_monitor(self, object_id: str, kind: str = "run") -> None:
        pid = self.monitor(object_id, kind)
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)

    def named(self, name: str) -> list[int]:
        """Processes of this daemon's launcher, by their name."""
        state = f"state={self.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and name_of(int(entry.name)) == name:
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if state in words:
                    found.append(int(entry.name))
        return found

    def spare(self) -> int:
        """The keeper of the next container, with its attendant."""

        def waiting() -> list[int]:
            return [pid for pid in self.named("corten-spare") if children(pid)]

        return eventually(waiting, what="a spare monitor")[0]

    def keeper(self, object_id: str) -> int:
        """The monitor of a container, once nothing but its keeper is left of it."""
        pid = self.monitor(object_id)

        def alone() -> bool:
            names = [name_of(child) for child in children(pid)]
            return all(names) and bool(names) and not any(n.startswith("corten+") for n in names)

        eventually(alone, what="its attendant's end")
        return pid

    # faults --------------------------------------------------------------------------------
    def crash_at(self, *orders: str) -> None:
        """``"after 3"``: die right after the third commit from now on; ``"before 3"``: before
        it, when all that it records was done. A second order is for the next start."""
        replacement = self.order.with_suffix(".new")
        replacement.write_text("\n".join(orders))
        replacement.rename(self.order)

    def crash_nowhere(self) -> None:
        self.order.unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        """Start it again if it has died; through further orders, to a daemon that stays."""
        for _ in range(5):
            if self._answers():
                break
            try:
                self.start()
            except AssertionError:
                if self.process is None or self.process.returncode != -signal.SIGKILL:
                    raise
        self.crash_nowhere()
        if not self._answers():  # it obeyed the order at this very moment
            self.start()

    def _answers(self) -> bool:
        def ask() -> None:
            with self.client() as client:
                client.version()

        if self.alive and attempt(ask) is None:
            return True
        assert self.process is not None
        self.process.wait(10)
        return False


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def name_of(pid: int) -> str:
    """Empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def attempt(action: Callable[[], Any]) -> BaseException | None:
    """Run it; the error that it ended with, if one."""
    import grpc

    from corten.errors import CortenError

    try:
        action()
    except (CortenError, grpc.RpcError) as error:
        return error
    return None
