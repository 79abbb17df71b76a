"""From create to delete: states, ids, errors, what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle, Runtime
from tests.support import eventually


def test_states_from_create_to_delete(box: Bundle) -> None:
    box.shell("sleep 60")
    box.created()
    assert box.state()["status"] == "created"
    assert box.pid > 0
    box.start()
    assert box.state()["status"] == "running"
    box.do("kill", "KILL")
    box.stopped()
    box.do("delete")
    assert box.runtime("state", box.id).returncode == 1


def test_state_is_the_specifications(box: Bundle) -> None:
    box.config["annotations"] = {"a.key": "a value"}
    box.running()
    state = box.state()
    assert state["id"] == box.id
    assert state["bundle"] == str(box.path)
    assert state["annotations"] == {"a.key": "a value"}
    assert state["ociVersion"].startswith("1.")
    assert state["rootfs"] == str(box.rootfs)


def test_program_does_not_run_before_start(box: Bundle) -> None:
    box.shell("echo ran > /mark")
    box.created()
    assert not (box.rootfs / "mark").exists()
    box.start()
    eventually(lambda: (box.rootfs / "mark").exists(), what="the program")


@pytest.mark.parametrize("code", [0, 3, 127, 255])
def test_run_returns_the_programs_exit_code(box: Bundle, code: int) -> None:
    box.shell(f"exit {code}")
    assert box.run().returncode == code


def test_run_returns_128_and_the_signal(box: Bundle) -> None:
    # PID 1 is shielded from its own signals, a child is not
    box.shell("sh -c 'kill -TERM $$'; exit $?")
    assert box.run().returncode == 128 + signal.SIGTERM


def test_run_leaves_no_state(box: Bundle) -> None:
    box.output("true")
    assert box.runtime("state", box.id).returncode == 1
    assert box.id not in box.runtime("list", "-q").stdout


def test_run_detached_returns_while_it_runs(box: Bundle) -> None:
    box.shell("sleep 60")
    with (box.path / "out").open("w") as out:
        done = box.run("--detach", capture=False, stdout=out, stderr=out)
    assert done.returncode == 0, (box.path / "out").read_text()
    assert box.state()["status"] == "running"


def test_run_forwards_signals(box: Bundle) -> None:
    box.probe(
        "import signal, os\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        "print('ready', flush=True)\n"
        "signal.sigwait({signal.SIGUSR1}); print('got it')"
    )
    box.write()
    argv = [*box.runtime.argv, "--root", str(box.runtime.root), "run", "-b", str(box.path), box.id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == "got it\n"
        assert process.wait(10) == 0


def test_pid_file_holds_init(box: Bundle) -> None:
    box.shell("sleep 60")
    file = box.path / "pid"
    box.created("--pid-file", str(file))
    assert int(file.read_text()) == box.pid


def test_an_id_is_taken_once(box: Bundle) -> None:
    box.running()
    second = box.runtime("run", "--bundle", str(box.path), box.id)
    assert second.returncode == 1
    assert "exist" in second.stderr
    assert box.state()["status"] == "running"


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b", "ä"])
def test_bad_ids_are_refused(box: Bundle, runtime: Runtime, name: str) -> None:
    if "crun" in runtime.argv[0] and name in ("a b", "ä"):
        pytest.skip("crun takes it for an id")
    box.write()
    done = runtime("create", "--bundle", str(box.path), name)
    assert done.returncode != 0
    assert not list(Path(runtime.root).glob("*/state.json"))


def test_start_twice_is_refused(box: Bundle) -> None:
    box.running()
    again = box.runtime("start", box.id)
    assert again.returncode == 1
    assert "running" in again.stderr


def test_start_of_a_stopped_container_is_refused(box: Bundle) -> None:
    box.running("true")
    box.stopped()
    assert box.runtime("start", box.id).returncode == 1


def test_delete_needs_force_while_it_runs(box: Bundle) -> None:
    box.running()
    pid = box.pid
    refused = box.runtime("delete", box.id)
    assert refused.returncode == 1
    assert "not stopped" in refused.stderr
    box.do("delete", "--force")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="end of init")


def test_delete_of_a_created_container_ends_its_init(box: Bundle) -> None:
    box.created()
    pid = box.pid
    box.do("delete")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="end of init")


def test_delete_force_of_nothing_succeeds(runtime: Runtime) -> None:
    assert runtime("delete", "--force", "nobody").returncode == 0
    assert runtime("delete", "nobody").returncode == 1


def test_kill_by_number_and_name(box: Bundle) -> None:
    box.running("trap 'echo usr1 > /mark' USR1; while :; do sleep 0.05; done")
    for name in ("USR1", "SIGUSR1", str(int(signal.SIGUSR1))):
        (box.rootfs / "mark").unlink(missing_ok=True)

        # a signal before the trap is set is dropped: PID 1 has no default actions
        def seen(name: str = name) -> bool:
            box.do("kill", name)
            return (box.rootfs / "mark").exists()

        eventually(seen, what=name)


def test_kill_of_a_stopped_container_says_so(box: Bundle) -> None:
    box.running("true")
    box.stopped()
    done = box.runtime("kill", box.id, "KILL")
    assert done.returncode == 1
    assert "not running" in done.stderr


def test_unknown_signal_is_refused(box: Bundle) -> None:
    box.running()
    done = box.runtime("kill", box.id, "NONSENSE")
    assert done.returncode == 1
    assert "unknown signal" in done.stderr


def test_list_has_every_container(new_bundle: Callable[[], Bundle], runtime: Runtime) -> None:
    one, two = new_bundle(), new_bundle()
    one.created()
    two.running()
    rows = {row["id"]: row for row in json.loads(runtime("list", "--format", "json").stdout)}
    assert rows[one.id]["status"] == "created"
    assert rows[two.id]["status"] == "running"
    assert rows[two.id]["pid"] == two.pid
    table = runtime("list").stdout
    assert table.splitlines()[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert sorted(runtime("list", "-q").stdout.split()) == sorted([one.id, two.id])


def test_ps_lists_processes(box: Bundle) -> None:
    def pids() -> list[int]:
        found: list[int] = json.loads(box.runtime("ps", "--format", "json", box.id).stdout)
        return found

    box.running("sleep 61 & sleep 62")
    eventually(lambda: len(pids()) == 3, what="3 processes")
    assert box.pid in pids()
    assert "sleep 61" in box.do("ps")
    assert "sleep 61" in box.do("ps", "aux")


def test_two_creates_at_once_make_one(box: Bundle, ours: None) -> None:
    # runc 1.1.5 fails it now and then: a loser takes the winner's directory away
    box.shell("sleep 60")
    box.write()
    argv = [*box.runtime.argv, "--root", str(box.runtime.root), "create", "-b", str(box.path)]
    files = [(box.path / f"log{i}").open("w+") for i in range(4)]
    racers = [
        subprocess.Popen([*argv, box.id], stdout=f, stderr=f, stdin=subprocess.DEVNULL)
        for f in files
    ]
    codes = sorted([racer.wait(60) for racer in racers])
    for file in files:
        file.close()
    assert codes == [0, 1, 1, 1]
    assert box.state()["status"] == "created"


def test_missing_config_is_named(box: Bundle) -> None:
    done = box.runtime("run", "--bundle", str(box.path), box.id)
    assert done.returncode == 1
    assert "config.json" in done.stderr


def test_malformed_config_is_named(box: Bundle, ours: None) -> None:
    box.config["process"]["cwd"] = "relative"
    done = box.run()
    assert done.returncode == 1
    assert "process.cwd" in done.stderr
    assert box.id not in box.runtime("list", "-q").stdout


def test_error_in_the_log_file(box: Bundle) -> None:
    log = box.path / "log"
    box.process["args"] = ["missing-program"]
    box.write()
    done = box.runtime(
        "--log", str(log), "--log-format", "json", "run", "-b", str(box.path), box.id
    )
    assert done.returncode == 1
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert entries[-1]["level"] == "error"
    assert 'exec: "missing-program": executable file not found in $PATH' in entries[-1]["msg"]


def test_an_interpreter_that_is_missing_is_all_that_is_said(box: Bundle, ours: None) -> None:
    box.process["args"] = ["/usr/bin/nointerpreter"]
    done = box.run()
    assert done.stderr == "exec /usr/bin/nointerpreter: no such file or directory\n"


def test_debug_tells_the_steps(box: Bundle, ours: None) -> None:
    log = box.path / "log"
    box.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": []}
    box.shell("sleep 60")
    box.write()
    words = ("--debug", "--log", str(log))
    argv = (*words, "run", "--detach", "-b", str(box.path), box.id)
    # the container keeps its streams open
    box.runtime(*argv, capture=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = log.read_text()
    assert "mount proc at /proc" in told
    assert '"seccomp filter flags: 0"' in told
    assert "child process in init()" in told
    box.runtime(*words, "exec", box.id, "true")
    assert "setns_init: about to exec true" in log.read_text()


def test_failed_create_leaves_nothing(box: Bundle) -> None:
    box.bind("/does/not/exist", "/mnt")
    done = box.run()
    assert done.returncode == 1
    assert "/does/not/exist" in done.stderr
    assert box.runtime("state", box.id).returncode == 1


def test_a_stop_signal_ends_a_created_container(box: Bundle) -> None:
    box.created()
    box.do("kill", "TERM")
    box.stopped()


def test_killed_init_before_start(box: Bundle) -> None:
    box.created()
    os.kill(box.pid, signal.SIGKILL)
    box.stopped()
    assert box.runtime("start", box.id).returncode == 1


def test_pause_and_resume(box: Bundle) -> None:
    box.running()
    box.do("pause")
    assert box.state()["status"] == "paused"
    assert box.exec("true").returncode == 255
    box.do("resume")
    assert box.state()["status"] == "running"
    assert box.exec("true").returncode == 0


def test_delete_force_of_a_paused_container(box: Bundle) -> None:
    box.running()
    box.do("pause")
    box.do("delete", "--force")


def test_spec_writes_a_config_that_runs(box: Bundle) -> None:
    done = box.runtime("spec", "--bundle", str(box.path))
    assert done.returncode == 0, done.stderr
    again = box.runtime("spec", "--bundle", str(box.path))
    assert again.returncode == 1
    assert "exists" in again.stderr
    cgroups = box.linux["cgroupsPath"]
    box.config = json.loads((box.path / "config.json").read_text())
    box.process["terminal"] = False
    box.linux["cgroupsPath"] = cgroups
    assert box.output("hostname; id -u").splitlines()[1:] == ["0"]


def test_features_is_json(runtime: Runtime) -> None:
    features = json.loads(runtime("features").stdout)
    assert "rbind" in features["mountOptions"]
    assert "createRuntime" in features["hooks"]
    assert {"mount", "pid", "user"} <= set(features["linux"]["namespaces"])


def test_version(runtime: Runtime) -> None:
    assert "spec: 1." in runtime("--version").stdout


@pytest.mark.parametrize("detached", [False, True])
def test_a_program_gets_no_descriptor_of_ours(box: Bundle, detached: bool) -> None:
    box.shell("ls /proc/self/fd")
    with (box.path / "out").open("w") as out:
        options = ["--detach"] if detached else []
        done = box.run(*options, capture=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    assert done.returncode == 0
    if detached:
        box.stopped()
    # 0, 1, 2, and the directory that is listed
    assert (box.path / "out").read_text().split() == ["0", "1", "2", "3"]


def test_in_a_user_namespace_that_does_not_own_the_others(box: Bundle, ours: None) -> None:
    """Whoever leaves its namespaces there can't return to them."""
    box.write()
    argv = [
        *box.runtime.argv,
        "--root",
        str(box.path / "state"),
        "run",
        "-b",
        str(box.path),
        box.id,
    ]
    done = subprocess.run(["unshare", "-Ur", *argv], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "operation not permitted" in done.stderr
