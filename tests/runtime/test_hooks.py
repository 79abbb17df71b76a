"""Hooks: which program runs when, where, with what on its standard input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle
from tests.support import eventually

BEFORE = ("prestart", "createRuntime", "createContainer")
ALL = (*BEFORE, "startContainer", "poststart", "poststop")


def script(box: Bundle, name: str, text: str) -> str:
    """A hook's program, reachable outside and inside under the same name."""
    path = box.path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def log_all(box: Bundle) -> Path:
    """Every hook writes its kind; ``startContainer``'s lies inside the container."""
    log = box.rootfs / "log"
    outside = script(box, "outside", f"echo $1 >> {log}; cat > {box.path}/state-$1")
    inside = box.rootfs / "inside"
    inside.write_text("#!/bin/sh\necho $1 >> /log; cat > /state-$1\n")
    inside.chmod(0o755)
    box.config["hooks"] = {
        kind: [{"path": outside, "args": ["outside", kind], "env": ["PATH=/usr/bin:/bin"]}]
        for kind in ALL
    }
    box.config["hooks"]["startContainer"] = [
        {"path": "/inside", "args": ["inside", "startContainer"], "env": ["PATH=/usr/bin"]}
    ]
    return log


def test_order(box: Bundle, ours: None) -> None:
    log = log_all(box)
    box.shell("echo program >> /log")
    box.created()
    assert log.read_text().split() == list(BEFORE)
    box.start()
    eventually(lambda: "program" in log.read_text(), what="the program")
    box.stopped()
    box.do("delete")
    lines = log.read_text().split()
    assert lines.index("startContainer") < lines.index("program")
    assert "poststart" in lines
    assert lines[-1] == "poststop"
    assert sorted(lines) == sorted([*ALL, "program"])


def test_state_on_stdin(box: Bundle, ours: None) -> None:
    log_all(box)
    box.config["annotations"] = {"key": "value"}
    box.running()
    pid = box.pid
    box.do("delete", "--force")
    for kind in ALL:
        place = box.rootfs if kind == "startContainer" else box.path
        state = json.loads((place / f"state-{kind}").read_text())
        assert state["id"] == box.id
        assert state["bundle"] == str(box.path)
        assert state["annotations"] == {"key": "value"}
    # a pid means nothing inside the container's own namespace but to itself
    assert json.loads((box.path / "state-createRuntime").read_text())["pid"] == pid
    statuses = {
        kind: json.loads((box.path / f"state-{kind}").read_text())["status"]
        for kind in ("createRuntime", "poststart", "poststop")
    }
    assert statuses == {"createRuntime": "creating", "poststart": "running", "poststop": "stopped"}


def test_create_container_runs_in_the_containers_namespaces(box: Bundle) -> None:
    path = script(box, "hook", f"readlink /proc/self/ns/mnt /proc/self/ns/net > {box.path}/seen")
    box.config["hooks"] = {"createContainer": [{"path": path, "env": ["PATH=/usr/bin:/bin"]}]}
    seen = box.output("readlink /proc/self/ns/mnt /proc/self/ns/net")
    assert (box.path / "seen").read_text() == seen


def test_create_runtime_runs_outside(box: Bundle) -> None:
    path = script(box, "hook", f"readlink /proc/self/ns/net > {box.path}/seen")
    box.config["hooks"] = {"createRuntime": [{"path": path, "env": ["PATH=/usr/bin:/bin"]}]}
    inside = box.output("readlink /proc/self/ns/net")
    assert (box.path / "seen").read_text() != inside


@pytest.mark.parametrize("kind", BEFORE)
def test_failure_before_the_start_fails_the_create(box: Bundle, kind: str) -> None:
    path = script(box, "hook", "echo no good >&2; exit 3")
    box.config["hooks"] = {kind: [{"path": path}]}
    done = box.run()
    assert done.returncode == 1
    if box.runtime.own:
        assert f"{kind} hook #0: exit status 3: no good" in done.stderr
    assert box.runtime("state", box.id).returncode == 1


def test_failure_in_the_container_fails_the_start(box: Bundle) -> None:
    log = log_all(box)
    (box.rootfs / "inside").write_text("#!/bin/sh\nexit 1\n")
    box.shell("echo program >> /log")
    box.created()
    assert box.runtime("start", box.id).returncode == 1 or not box.runtime.own
    box.stopped()
    assert "program" not in log.read_text()


def test_failure_after_the_start_fails_it_and_kills(box: Bundle, ours: None) -> None:
    path = script(box, "hook", "exit 1")
    box.config["hooks"] = {"poststart": [{"path": path}]}
    box.shell("sleep 60")
    box.created()
    done = box.runtime("start", box.id)
    assert done.returncode == 1
    assert "error running poststart hook #0: exit status 1" in done.stderr
    # and takes the container away (runtime.md, "Lifecycle" 9 and 12)
    assert "does not exist" in box.runtime("state", box.id).stderr


def test_failure_after_the_end_is_a_warning(box: Bundle, ours: None) -> None:
    good = script(box, "good", f"touch {box.path}/ran")
    bad = script(box, "bad", "exit 1")
    box.config["hooks"] = {
        "poststop": [{"path": bad}, {"path": good, "env": ["PATH=/usr/bin:/bin"]}]
    }
    box.running("true")
    box.stopped()
    box.do("delete")
    assert (box.path / "ran").exists()


def test_hooks_stop_at_the_first_failure(box: Bundle) -> None:
    good = script(box, "good", f"touch {box.path}/ran")
    bad = script(box, "bad", "exit 1")
    box.config["hooks"] = {
        "createRuntime": [{"path": bad}, {"path": good, "env": ["PATH=/usr/bin:/bin"]}]
    }
    assert box.run().returncode == 1
    assert not (box.path / "ran").exists()


def test_timeout_kills_the_hook(box: Bundle) -> None:
    path = script(box, "hook", f"echo $$ > {box.path}/pid; exec sleep 60")
    box.config["hooks"] = {
        "createRuntime": [{"path": path, "timeout": 1, "env": ["PATH=/usr/bin:/bin"]}]
    }
    done = box.run()
    assert done.returncode == 1
    pid = int((box.path / "pid").read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="end of the hook")


def test_missing_hook_is_named(box: Bundle) -> None:
    box.config["hooks"] = {"createRuntime": [{"path": "/does/not/exist"}]}
    done = box.run()
    assert done.returncode == 1
    assert "/does/not/exist" in done.stderr


def test_environment_is_the_hooks_own(box: Bundle) -> None:
    path = script(box, "hook", f"env > {box.path}/env")
    box.config["hooks"] = {"createRuntime": [{"path": path, "env": ["ONLY=this", "PATH=/bin"]}]}
    box.output("true")
    names = {line.partition("=")[0] for line in (box.path / "env").read_text().splitlines()}
    assert names <= {"ONLY", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}
    assert "ONLY" in names


def test_long_state_and_a_hook_that_never_reads(box: Bundle) -> None:
    path = script(box, "hook", "exit 0")
    box.config["annotations"] = {f"key{i}": "x" * 1000 for i in range(200)}
    box.config["hooks"] = {"createRuntime": [{"path": path}]}
    box.output("true")


def test_hook_may_ask_the_runtime(box: Bundle) -> None:
    command = " ".join([*box.runtime.argv, "--root", str(box.runtime.root), "state", box.id])
    path = script(box, "hook", f"{command} > {box.path}/asked")
    box.config["hooks"] = {"createRuntime": [{"path": path, "env": ["PATH=/usr/bin:/bin"]}]}
    box.run()
    if box.runtime.own:
        assert json.loads((box.path / "asked").read_text())["status"] == "creating"


def test_inside_they_have_the_programs_environment(box: Bundle, ours: None) -> None:
    box.process["env"].append("FOO=bar")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo $FOO >/said"]}
    box.config["hooks"] = {"startContainer": [hook]}
    box.output("true")
    assert (box.rootfs / "said").read_text() == "bar\n"


def test_outside_they_have_ours_unless_they_have_their_own(box: Bundle, ours: None) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $SAYS >{box.path}/said"]}
    for given, expected in ((hook, "from-us\n"), ({**hook, "env": []}, "\n")):
        box.config["hooks"] = {"createRuntime": [given]}
        assert box.run(env={**os.environ, "SAYS": "from-us"}).returncode == 0
        assert (box.path / "said").read_text() == expected


def test_those_of_the_containers_namespace_start_in_its_root(box: Bundle, ours: None) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "ls >./etc/listed"]}
    box.config["hooks"] = {"createContainer": [hook]}
    box.output("true")
    assert "etc" in (box.rootfs / "etc/listed").read_text().split()
