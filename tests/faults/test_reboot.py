"""Another boot id means that everything that ran has ended: records say so, run state is
rebuilt, containers start again, nothing stale is taken for something that lives.

The machine is not rebooted: its processes are killed, its cgroups, mounts and network
namespaces go with them, and the next daemon finds another boot id (a file bound over the
kernel's, in a mount namespace of the daemon's own).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import Pod
from tests.faults import steps
from tests.faults.machine import BUSYBOX, COUNTER, IMAGE, SLEEPER, Machine, attempt
from tests.faults.sample import sampled
from tests.support import eventually

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_BIND = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'


class Rebootable(Machine):
    """A machine whose boot id is a file's."""

    def __init__(self) -> None:
        super().__init__()
        self.boot_id = self.base / "boot_id"
        self._boot()

    def _boot(self) -> None:
        self.boot_id.write_text(f"{uuid.uuid4()}\n")

    def argv(self) -> list[str]:
        inside, words = self.inside(), super().argv()
        own_mounts = ["unshare", "--mount", "sh", "-c", _BIND, str(self.boot_id)]
        return [*inside, *own_mounts, *words[len(inside) :]]

    def reboot(self, *, wiped: bool) -> None:
        """Everything ends at once; nobody is asked, nobody is told.

        Arguments:
            wiped: the state directory is on a tmpfs, so it is empty afterwards.
        """
        self.kill()
        groups = self._groups()
        eventually(lambda: not self._kill_all(groups), what="all processes are gone")
        eventually(lambda: not self._kill_programs(), what="the daemon's programs are gone")
        eventually(lambda: not _remove(groups), what="all cgroups are gone")
        self.new_network()
        for path in self.state.rglob("*"):
            if path.is_socket() or wiped and path.is_file():
                path.unlink()
        if wiped:
            shutil.rmtree(self.state)
        self._boot()
        self.start()

    def _kill_programs(self) -> set[int]:
        """Those outside of the groups, as the command line that a daemon keeps warm: it ends
        with the daemon, but not in the same moment. Returns those that are not gone yet."""
        pids: set[int] = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.fsencode(self.state) in path.read_bytes().split(b"\0"):
                    pids.add(int(path.parent.name))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def _groups(self) -> list[Path]:
        top = Path("/sys/fs/cgroup")
        found = [p for p in top.glob(f"*/{self.prefix}*") if p.is_dir()]
        found += [p for p in top.glob(f"{self.prefix}*") if p.is_dir()]
        return found

    def _kill_all(self, groups: list[Path]) -> set[int]:
        """Returns those that are not gone yet."""
        pids: set[int] = set()
        for path in (inner for group in groups for inner in (group, *group.rglob("*/"))):
            with contextlib.suppress(FileNotFoundError):
                pids |= {int(pid) for pid in (path / "cgroup.procs").read_text().split()}
                _thaw(path)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids


def _thaw(group: Path) -> None:
    """What is frozen does not die."""
    for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        if (group / name).exists():
            (group / name).write_text(word)


def _remove(groups: list[Path]) -> list[Path]:
    for group in groups:
        inner = sorted(group.rglob("*/"), reverse=True)
        for path in (*inner, group):
            with contextlib.suppress(OSError):
                path.rmdir()
    return [group for group in groups if group.exists()]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Rebootable()
    try:
        yield made.set_up()
    finally:
        made.close()


@pytest.mark.parametrize("wiped", [True, False], ids=["tmpfs", "disk"])
def test_containers(calm: Rebootable, wiped: bool) -> None:
    with calm.client() as client:
        run = client.containers.start
        running = run(IMAGE, COUNTER, name="running")
        published = run(IMAGE, SLEEPER, name="ports", ports=[{"container_port": 80}])
        paused = run(IMAGE, SLEEPER, name="paused")
        paused.pause()
        exited = run(IMAGE, [BUSYBOX, "sh", "-c", "exit 3"], name="exited")
        exited.wait()
        created = client.containers.create(IMAGE, SLEEPER, name="created")
        run(IMAGE, SLEEPER, name="removed", auto_remove=True)
    calm.reboot(wiped=wiped)
    with calm.client() as client:
        for gone in (running, published, paused):
            gone = client.containers.get(gone.id)
            state = gone.attrs["state"]
            assert (state["status"], state["reason"]) == ("exited", "reboot"), state
            assert gone.wait() == state["exit_code"] != 0
            assert "endpoints" not in gone.attrs
            gone.start()
            steps.works(gone)
        assert client.containers.get(exited.id).wait() == 3
        created = client.containers.get(created.id)
        assert created.status == "created"
        steps.works(created.start())
        steps.ends(created)
        eventually(lambda: calm.container(client, "removed") is None, what="it is removed")


@pytest.mark.parametrize("wiped", [True, False], ids=["tmpfs", "disk"])
def test_a_pod(calm: Rebootable, wiped: bool) -> None:
    """The kubelet finds it not ready, removes it and makes another attempt."""
    with calm.cri() as cri:
        pod = cri.run_pod("pod")
        inside = pod.sleeper()
        assert calm.leases() == [pod.ip]
    calm.reboot(wiped=wiped)
    with calm.cri() as cri:
        pod = Pod(cri, pod.id, pod.config)
        assert pod.status().state == pb.SANDBOX_NOTREADY
        assert cri.status(inside).state == pb.CONTAINER_EXITED
        assert calm.leases() == []
        cri.remove_all()
        again = cri.run_pod("pod")
        assert cri.output(again.sleeper(), "hostname") == "pod"


_MIDDLES = [
    (name, wiped)
    for name in ("start", "stop", "remove-running", "run-pod", "stop-pod")
    for wiped in (True, False)
]


@pytest.mark.parametrize(("name", "wiped"), sampled(_MIDDLES, 5))
def test_in_the_middle_of(calm: Rebootable, name: str, wiped: bool) -> None:
    """What had begun before the reboot is taken back or is over; it is not done again."""
    step = steps.STEPS[name]
    given = step.prepare(calm)
    calm.crash_at("before 2")
    attempt(lambda: step.act(calm, given))
    eventually(lambda: not calm.alive, what="it is killed")
    calm.crash_nowhere()
    calm.reboot(wiped=wiped)
    with calm.client() as client:
        for one in client.containers.list():
            assert one.status in ("created", "exited")
        calm.remove_all()
        steps.runs_again(client)
    steps.STEPS["run-pod"].check(calm, None)
