"""``corten-oci`` and its init killed at each system call of a command: what ``state`` says
afterwards is true, and ``delete --force`` leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.aim import Shot, shoot
from tests.faults.machine import BUSYBOX
from tests.runtime.harness import Bundle, Runtime, own_runtime
from tests.support import eventually

_SAMPLE = 3
_SLEEP = "sleep 100"
_EXITS = (60, 231)  # exit and exit_group, x86_64


class Command(NamedTuple):
    """What is interrupted, and what it needs to be there.

    Attributes:
        words: the command without the container's id, which comes behind the first of them
            that begins with a minus, or last.
    """

    prepare: Callable[[Bundle], None]
    words: tuple[str, ...]
    program: tuple[str, ...] = ()


def _write(box: Bundle) -> None:
    box.shell(_SLEEP)
    box.write()


def _created(box: Bundle) -> None:
    box.shell(_SLEEP)
    box.created()


def _running(box: Bundle) -> None:
    box.running(_SLEEP)


COMMANDS = {
    "create": Command(_write, ("create", "--bundle", "BUNDLE")),
    "run": Command(_write, ("run", "--detach", "--bundle", "BUNDLE")),
    "start": Command(_created, ("start",)),
    "exec": Command(_running, ("exec",), ("true",)),
    "kill": Command(_running, ("kill",), ("KILL",)),
    "delete": Command(_running, ("delete", "--force")),
}


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of one program."""
    root = tmp_path_factory.mktemp("oci") / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in ("sh", "sleep", "true"):
        (root / "bin" / name).symlink_to("busybox")
    return root


@pytest.fixture
def new_box(rootfs: Path, tmp_path: Path) -> Iterator[Callable[[], Bundle]]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    runtime = Runtime(own_runtime(tmp_path), tmp_path / "state")
    made: list[Bundle] = []

    def make() -> Bundle:
        made.append(Bundle(runtime, tmp_path / f"b{len(made)}", rootfs))
        return made[-1]

    yield make
    for box in made:
        box.delete()


def arguments(box: Bundle, command: Command) -> list[str]:
    """The whole command line."""
    words = [str(box.path) if word == "BUNDLE" else word for word in command.words]
    return [*box.runtime.argv, "--root", str(box.runtime.root), *words, box.id, *command.program]


def interrupted(box: Bundle, command: Command, when: int) -> int:
    """Run it under ``strace``, killed at its ``when``-th call (0: never); the calls made."""
    log = box.path / "calls"
    inject = ["-e", f"inject=all:signal=KILL:when={when}"] if when else []
    words = ["strace", "-qq", "-o", str(log), *inject, *arguments(box, command)]
    with (box.path / "out").open("w") as out:
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
    return len(log.read_text().splitlines())


def nothing_left(box: Bundle) -> None:
    """Whatever came of it: what is said is true, and all of it can be removed."""
    # An init whose runtime was killed ends by itself, a moment later.
    eventually(lambda: _is_true(box), what="a state that is true")
    forced = box.runtime("delete", "--force", box.id)
    assert forced.returncode == 0, forced.stderr
    assert box.runtime("state", box.id).returncode == 1
    assert box.id not in box.runtime("list", "-q").stdout
    assert not list(box.runtime.root.glob(f"*{box.id}*"))
    eventually(lambda: not _cgroups(box.id), what=f"no cgroup: {_cgroups(box.id)}")
    eventually(lambda: not _processes(box), what=f"no process: {_processes(box)}")
    assert str(box.path) not in Path("/proc/self/mountinfo").read_text()


def _is_true(box: Bundle) -> bool:
    """Whether there is a process where ``state`` says so."""
    done = box.runtime("state", box.id)
    if done.returncode:
        return True
    state = json.loads(done.stdout)
    return state["status"] not in ("created", "running") or Path(f"/proc/{state['pid']}").exists()


def works(box: Bundle) -> None:
    """The same id can be used again."""
    box.running(_SLEEP)
    assert box.state()["status"] == "running"
    box.delete()


def _cgroups(name: str) -> list[str]:
    top = Path("/sys/fs/cgroup")
    return [str(p) for p in (*top.glob(f"corten-test/{name}"), *top.glob(f"*/corten-test/{name}"))]


def _processes(box: Bundle) -> list[str]:
    """Whose root, directory, mounts or command line are the container's."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            texts = [(entry / "cmdline").read_text(), os.readlink(entry / "cwd")]
            texts.append((entry / "mountinfo").read_text())
        except OSError:
            continue
        if any(box.id in text or str(box.path) in text for text in texts):
            found.append(f"{entry.name} {texts[0]}")
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_corten_oci(new_box: Callable[[], Bundle], name: str, seed: int) -> None:
    command = COMMANDS[name]
    box = new_box()
    command.prepare(box)
    calls = interrupted(box, command, 0)
    nothing_left(box)
    for when in moments(calls, f"{seed} {name}"):
        print(f"{name}: call {when} of {calls}")
        command.prepare(box)
        interrupted(box, command, when)
        nothing_left(box)
    works(box)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "generation"), [("create", 1), ("run", 1), ("exec", 1)])
def test_what_it_forks(
    new_box: Callable[[], Bundle], name: str, generation: int, seed: int
) -> None:
    """Init, or the process of an exec; the command says that it failed."""
    command = COMMANDS[name]
    box = new_box()
    calls = _fork_killed(box, command, generation, 0)[0].calls
    assert calls > 20
    for when in moments(calls, f"{seed} {name} {generation}"):
        print(f"{name}: call {when} of {calls}")
        shot, code = _fork_killed(box, command, generation, when)
        # Not each time it makes as many calls before it is done, and with the last it is.
        assert code != 0 or shot.killed in (None, *_EXITS), (box.path / "out").read_text()
    works(box)


def _fork_killed(box: Bundle, command: Command, generation: int, when: int) -> tuple[Shot, int]:
    """Returns what came of it, and the command's exit code."""
    command.prepare(box)
    with (box.path / "out").open("w") as out:
        waiting = subprocess.Popen(
            ["sh", "-c", 'read go; exec "$@"', "sh", *arguments(box, command)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
        )
    with waiting:

        def go() -> None:
            waiting.communicate(b"go\n", timeout=60)

        shot = shoot(waiting.pid, generation, when, go)
    nothing_left(box)
    return shot, waiting.returncode


def moments(calls: int, seed: str) -> list[int]:
    if os.environ.get("CORTEN_SOAK"):
        return list(range(1, calls + 1))
    return random.Random(seed).sample(range(1, calls + 1), _SAMPLE)
