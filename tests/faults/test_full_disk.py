"""A disk without space, under the data root or the state directory: what can't be done fails
and says so, what runs goes on, nothing is torn or half visible, and once there is space again
all works, the exits that happened meanwhile included."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.client import Client
from corten.errors import CortenError, NotFound, NotModified, ResourceExhausted
from tests.faults import steps
from tests.faults.machine import BUSYBOX, COUNTER, IMAGE, SHELL, SLEEPER, Machine, attempt
from tests.harness import wait_gone
from tests.support import eventually

_SIZE = 48 << 20


class Cramped(Machine):
    """A machine whose root and state are small file systems that can be filled."""

    def __init__(self) -> None:
        super().__init__()
        for path in (self.root, self.state):
            path.mkdir()
            options = f"size={_SIZE},mode=755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "corten", path], check=True)

    def close(self) -> None:
        try:
            if self.process is not None:
                self.remove_all()
                self.stop()
        finally:
            for path in (self.root, self.state):
                subprocess.run(["umount", "--lazy", path], check=True)
        super().close()

    @contextlib.contextmanager
    def full(self, path: Path, *, leave: int = 0) -> Iterator[None]:
        """No block is free, or no more than ``leave`` bytes."""
        ballast = path / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        os.truncate(ballast, ballast.stat().st_size - leave)
        try:
            yield
        finally:
            ballast.unlink()


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Cramped()
    try:
        yield made.set_up()
    finally:
        made.close()


def refused(action: Callable[[], Any]) -> bool:
    """It may work, as far as it needs no space; else the error says what to do."""
    error = attempt(action)
    assert error is None or isinstance(error, ResourceExhausted), repr(error)
    if isinstance(error, CortenError):
        assert "No space left on device" in str(error) or "full" in str(error), str(error)
        assert error.hint, str(error)
    return error is not None


def test_nothing_is_half_made(calm: Cramped) -> None:
    with calm.client() as client:
        made = client.containers.create(IMAGE, SLEEPER, name="made")
        with calm.full(calm.root):
            assert refused(lambda: client.images.from_host("other", ["/bin/true", BUSYBOX]))
            assert refused(lambda: client.containers.create(IMAGE, SLEEPER, name=steps.NAME))
            assert not client.images.exists("other")
            assert calm.container(client, steps.NAME) is None
            refused(made.start)
        client.images.from_host("other", ["/bin/true"])
        client.images.remove("other")
        steps.runs_again(client)
        attempt(made.start)
        steps.works(made)


def test_what_runs_can_be_used_and_ended(calm: Cramped) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        other = client.containers.start(IMAGE, SLEEPER, name="other")
        for each in (one, other):
            steps.ready(each)
        with calm.full(calm.root):
            assert len(client.containers.list()) == 2
            refused(lambda: one.exec([BUSYBOX, "true"]))
            refused(lambda: one.stop(timeout=10))
            refused(lambda: other.remove(force=True))
        with contextlib.suppress(NotModified):
            one.stop(timeout=10)
        assert one.wait() == 5
        one.remove()


def test_an_exit_is_not_lost(calm: Cramped) -> None:
    with calm.client() as client:
        for path in (calm.root, calm.state):
            one = client.containers.start(IMAGE, SLEEPER, name="one")
            steps.ready(one)
            with calm.full(path):
                os.kill(one.attrs["state"]["pid"], 15)
                wait_gone(one.attrs["state"]["pid"])
            assert one.wait() == 5
            assert one.reload().status == "exited"
            one.remove()


def test_an_exit_is_not_lost_while_no_daemon_runs(calm: Cramped) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        steps.ready(one)
    calm.kill()
    with calm.full(calm.state), calm.full(calm.root):
        os.kill(one.attrs["state"]["pid"], 15)
        wait_gone(one.attrs["state"]["pid"])
    calm.start()
    with calm.client() as client:
        one = client.containers.get("one")
        assert one.wait() == 5
        assert one.attrs["state"]["status"] == "exited"


def test_the_log_has_whole_lines(calm: Cramped) -> None:
    """Those that found no space are missing; the container was not held up."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, COUNTER, name="one")
        log = Path(one.attrs["log_path"])
        eventually(lambda: log.stat().st_size > 1000, what="it logs")
        with calm.full(calm.root):
            full = log.stat().st_size
            eventually(lambda: _io(one.attrs["state"]["pid"]) > 2 * full, what="it goes on")
        eventually(lambda: log.stat().st_size > full + 4096, what="it logs again")
        one.kill()
        one.wait()  # all that it had printed is in its log
        lines = [json.loads(line)["log"] for line in log.read_text().splitlines()]
        numbers = [int(line.split()[1]) for line in lines]
        assert lines == [f"line {number}\n" for number in numbers]
        assert numbers == sorted(set(numbers))


def _io(pid: int) -> int:
    """How many bytes a process has written."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("wchar"):
            return int(line.split()[1]) * 8  # a line of the log is longer than what is written
    return 0


def test_a_state_directory_without_space(calm: Cramped) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        steps.ready(one)
        with calm.full(calm.state):
            refused(lambda: client.containers.create(IMAGE, SLEEPER, name="two"))
            refused(lambda: client.containers.start(IMAGE, [*SHELL, "exit 0"], name="three"))
            refused(lambda: one.exec([BUSYBOX, "true"]))
            with calm.cri() as cri:
                attempt(lambda: cri.run_pod("pod"))
            refused(lambda: one.stop(timeout=10))
        with contextlib.suppress(NotModified):
            one.stop(timeout=10)
        assert one.wait() == 5
        steps.works(one.start())
        steps.ends(one)


@pytest.mark.parametrize("place", ["root", "state"])
def test_a_daemon_that_starts_without_space(calm: Cramped, place: str) -> None:
    """It starts, or says why not; what runs does not notice."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
    calm.kill()
    with calm.full(getattr(calm, place)):
        try:
            calm.start()
        except AssertionError as error:
            assert "No space left" in str(error) or "full" in str(error), error
            assert "Traceback" not in str(error), error
    if not calm.alive:
        calm.start()
    with calm.client() as client:
        again = client.containers.get(one.id)
        assert again.attrs["state"]["pid"] == one.attrs["state"]["pid"]
        steps.works(again)


def test_many_containers_without_space(calm: Cramped, seed: int) -> None:
    """Whatever step finds the disk full, nothing of it stays."""
    with calm.client() as client:
        for pages in (0, 1, 2, 3, 5, 8, 12, 15):
            with calm.full(calm.root, leave=4096 * pages):
                refused(lambda: _use(client))
            _use(client)
            client.containers.get("life").remove(force=True)
        steps.runs_again(client)


def _use(client: Client) -> None:
    """A container's start, whatever is there of it already."""
    try:
        life = client.containers.get("life")
    except NotFound:
        ports = [{"host_port": 8124, "container_port": 80}]
        life = client.containers.create(IMAGE, SLEEPER, name="life", ports=ports)
    with contextlib.suppress(NotModified):
        life.start()
    life.exec([BUSYBOX, "true"])
