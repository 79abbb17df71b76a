"""Containers that are started again, watched, changed, while daemon and machine come and go."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from corten.client import Client
from tests.harness import SITE, SOURCE, Daemon
from tests.support import eventually

BUSYBOX = "/bin/busybox"


@pytest.fixture(autouse=True)
def image(daemon: Daemon) -> Iterator[None]:
    if not Path(BUSYBOX).exists():
        pytest.skip("needs busybox-static")
    daemon.corten("image", "from-host", "--tag", "box", BUSYBOX, "/bin/sh")
    yield
    names = daemon.corten("ps", "-aq").stdout.split()
    if names:
        daemon.corten("rm", "-f", *names)


def run(daemon: Daemon, name: str, text: str, *options: str) -> None:
    daemon.corten("run", "-d", "--name", name, *options, "box", BUSYBOX, "sh", "-c", text)


def shown(daemon: Daemon, name: str, field: str) -> str:
    return daemon.corten("inspect", "-f", f"{{{{{field}}}}}", name).stdout.strip()


def status(daemon: Daemon, name: str) -> str:
    return shown(daemon, name, ".State.Status")


def pid(daemon: Daemon, name: str) -> int:
    return int(shown(daemon, name, ".State.Pid"))


# --- restart policies ------------------------------------------------------------------


def test_one_whose_program_was_killed_runs_again(daemon: Daemon) -> None:
    run(daemon, "one", "sleep 1000", "--restart", "unless-stopped")
    before = pid(daemon, "one")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: status(daemon, "one") == "running" and pid(daemon, "one") != before)
    assert shown(daemon, "one", ".RestartCount") == "1"


def test_one_whose_monitor_was_killed_runs_again(daemon: Daemon) -> None:
    from corten.launch.client import read_state

    run(daemon, "one", "sleep 1000", "--restart", "always")
    ident = shown(daemon, "one", ".Id")
    state = read_state(str(daemon.state / "run" / ident))
    assert state is not None
    os.kill(state.monitor_pid, signal.SIGKILL)
    eventually(
        lambda: status(daemon, "one") == "running" and pid(daemon, "one") != state.pid, deadline=20
    )


def test_what_ends_while_there_is_no_daemon_is_started_by_the_next(daemon: Daemon) -> None:
    run(daemon, "always", "sleep 1000", "--restart", "always")
    run(daemon, "failed", "sleep 1000", "--restart", "on-failure")
    run(daemon, "not", "sleep 1000")
    pids = {name: pid(daemon, name) for name in ("always", "failed", "not")}
    daemon.kill()
    for one in pids.values():
        os.kill(one, signal.SIGKILL)
    daemon.start()
    for name in ("always", "failed"):
        # Its monitor may tell of the end when the daemon serves already.
        eventually(lambda n=name: pid(daemon, n) not in (0, pids[n]), what=name)  # type: ignore[misc]
        assert status(daemon, name) == "running"
    eventually(lambda: status(daemon, "not") == "exited", what="the end of the third")


def test_a_daemons_restart_changes_nothing_about_what_runs(daemon: Daemon) -> None:
    run(daemon, "one", "sleep 1000", "--restart", "always")
    before = pid(daemon, "one")
    daemon.restart()
    assert (status(daemon, "one"), pid(daemon, "one")) == ("running", before)
    assert shown(daemon, "one", ".RestartCount") == "0"


def test_what_was_stopped_stays_stopped_unless_always(daemon: Daemon) -> None:
    for policy in ("unless-stopped", "always"):
        run(daemon, policy, "sleep 1000", "--restart", policy)
        daemon.corten("stop", "-t", "0", policy)
    daemon.restart()
    eventually(lambda: status(daemon, "always") == "running")
    assert status(daemon, "unless-stopped") == "exited"


def test_one_that_waits_for_its_start_survives_the_daemon(daemon: Daemon) -> None:
    run(daemon, "one", "exit 3", "--restart", "always")
    eventually(lambda: int(shown(daemon, "one", ".RestartCount")) >= 3)
    daemon.kill()
    daemon.start()
    count = int(shown(daemon, "one", ".RestartCount"))
    eventually(lambda: int(shown(daemon, "one", ".RestartCount")) > count)
    daemon.corten("stop", "one")
    assert status(daemon, "one") == "exited"


def test_a_removal_ends_the_waiting(daemon: Daemon) -> None:
    run(daemon, "one", "exit 3", "--restart", "always")
    eventually(lambda: status(daemon, "one") == "restarting")
    daemon.corten("rm", "-f", "one")
    assert daemon.corten("ps", "-aq").stdout == ""


def test_logs_follow_goes_on_with_what_is_read(daemon: Daemon) -> None:
    run(daemon, "one", "echo run; exit 3", "--restart", "on-failure:2")
    eventually(lambda: status(daemon, "one") == "exited")
    assert daemon.corten("logs", "one").stdout == "run\n" * 3


# --- init ------------------------------------------------------------------------------


def test_an_init_reaps_and_passes_signals_on(daemon: Daemon) -> None:
    text = "trap 'echo told; exit 5' USR1; (sleep 0.1 &); echo ready; while :; do sleep 0.1; done"
    run(daemon, "one", text, "--init")
    eventually(lambda: "ready" in daemon.corten("logs", "one").stdout)
    eventually(lambda: not _zombies(daemon), what="no zombie is left")
    first = Path(f"/proc/{pid(daemon, 'one')}")
    assert (first / "comm").read_text() == "corten-init\n"
    facts = dict(
        line.split(":\t") for line in (first / "status").read_text().splitlines() if ":\t" in line
    )
    assert int(facts["CapEff"], 16) == 1 << 5  # CAP_KILL
    assert facts["NoNewPrivs"].strip() == "1"
    assert {os.readlink(first / "fd" / fd) for fd in os.listdir(first / "fd")} == {
        os.readlink(first / "fd" / fd) for fd in "012"
    }
    daemon.corten("kill", "-s", "USR1", "one")
    assert daemon.corten("wait", "one").stdout == "5\n"
    assert "told" in daemon.corten("logs", "one").stdout


def _zombies(daemon: Daemon) -> list[str]:
    listed = daemon.corten("exec", "one", BUSYBOX, "ps", "-o", "pid,stat,args").stdout
    return [line for line in listed.splitlines()[1:] if "Z" in line.split()[1]]


def test_an_init_on_a_terminal(daemon: Daemon) -> None:
    """Ctrl-C is the program's, job control works, the code is the program's."""
    program = (
        f"import sys; sys.path[:0] = [{str(SOURCE)!r}, {SITE!r}]; "
        "from corten.cli.thin import main; sys.exit(main())"
    )
    child = pexpect.spawn(
        "/usr/bin/python3",
        [
            "-IS",
            "-c",
            program,
            "run",
            "-it",
            "--rm",
            "--init",
            "--name",
            "one",
            "box",
            BUSYBOX,
            "sh",
        ],
        env={**os.environ, "CORTEN_STATE": str(daemon.state)},
        timeout=20,
        encoding="utf-8",
    )
    child.expect("# ")
    child.sendline("sleep 100")
    eventually(lambda: "sleep 100" in daemon.corten("top", "one").stdout, what="it sleeps")
    child.sendintr()
    child.expect("# ")
    child.sendline("exit 9")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9


def test_an_init_as_somebody_else(daemon: Daemon) -> None:
    done = daemon.corten(
        "run", "--rm", "--init", "-u", "1234", "box", BUSYBOX, "sh", "-c", "id -u; kill -TERM 1; "
        "while :; do :; done", check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("1234\n", 143)


# --- health ----------------------------------------------------------------------------


def health(daemon: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(daemon, name, "json .State.Health"))
    return found


_CHECKED = ("--health-cmd", "echo looked; test -e /ok", "--health-interval", "0.2",
            "--health-retries", "2")  # fmt: skip


def _looks(root: Path) -> int:
    made = root / "looks"
    return len(made.read_text().splitlines()) if made.exists() else 0


def test_health_goes_on_without_the_daemon(daemon: Daemon) -> None:
    check = ("--health-cmd", "echo looked >> /looks; test -e /ok", *_CHECKED[2:])
    run(daemon, "one", "sleep 1000", *check)
    root = Path(f"/proc/{pid(daemon, 'one')}/root")
    eventually(lambda: _looks(root) > 0)
    daemon.kill()
    before = _looks(root)
    (root / "ok").touch()
    eventually(lambda: _looks(root) > before + 5, what="further checks")
    daemon.start()
    eventually(lambda: health(daemon, "one")["Status"] == "healthy")
    assert len(health(daemon, "one")["Log"]) == 5
    daemon.corten("exec", "one", BUSYBOX, "rm", "/ok")
    eventually(lambda: health(daemon, "one")["Status"] == "unhealthy")
    words = daemon.corten(
        "events", "--since", "1m", "--until", "0s", "-f", "container=one", "--format", "{{.Action}}"
    ).stdout.split("\n")
    assert "health_status: unhealthy" in words


def test_a_start_period_counts_no_failure(daemon: Daemon) -> None:
    run(daemon, "one", "sleep 1000", *_CHECKED, "--health-start-period", "1h",
        "--health-start-interval", "0.1")  # fmt: skip
    eventually(lambda: len(health(daemon, "one")["Log"]) == 5)
    assert health(daemon, "one")["Status"] == "starting"
    assert health(daemon, "one")["FailingStreak"] == 0
    daemon.corten("exec", "one", BUSYBOX, "touch", "/ok")
    eventually(lambda: health(daemon, "one")["Status"] == "healthy")
    daemon.corten("exec", "one", BUSYBOX, "rm", "/ok")  # from now on they do
    eventually(lambda: health(daemon, "one")["Status"] == "unhealthy")


def test_what_is_frozen_is_not_checked(daemon: Daemon) -> None:
    run(daemon, "one", "echo > /ok; sleep 1000", *_CHECKED)
    eventually(lambda: health(daemon, "one")["Status"] == "healthy")
    daemon.corten("pause", "one")
    before = health(daemon, "one")["Log"]
    time.sleep(1)
    after = health(daemon, "one")
    assert after["Status"] == "healthy"
    assert len([one for one in after["Log"] if one not in before]) <= 1  # one was under way
    daemon.corten("unpause", "one")
    last = health(daemon, "one")["Log"][-1]["Start"]
    eventually(lambda: health(daemon, "one")["Log"][-1]["Start"] > last)


def test_a_check_that_can_not_run_says_why(daemon: Daemon) -> None:
    check = {"test": ["CMD", "/nosuch"], "interval": 0.2, "retries": 1}
    with Client(str(daemon.state / "corten.sock")) as client:
        client.containers.start("box", [BUSYBOX, "sleep", "1000"], name="one", health=check)
    eventually(lambda: health(daemon, "one")["Status"] == "unhealthy")
    result = health(daemon, "one")["Log"][0]
    assert result["ExitCode"] == -1 and "/nosuch" in result["Output"]


# --- changes ---------------------------------------------------------------------------


def test_limits_change_while_it_runs_and_stay_for_the_next_run(daemon: Daemon) -> None:
    run(daemon, "one", "sleep 1000", "-m", "32m")
    daemon.corten("update", "-m", "48m", "--memory-swap", "96m", "--pids-limit", "50", "one")
    read = ("exec", "one", BUSYBOX, "sh", "-c", "cat /sys/fs/cgroup/*/pids.max")
    assert daemon.corten(*read).stdout == "50\n"
    daemon.corten("restart", "-t", "0", "one")
    assert daemon.corten(*read).stdout == "50\n"
    assert shown(daemon, "one", ".HostConfig.Memory") == str(48 << 20)


def test_a_name_is_free_after_a_rename_and_survives_the_daemon(daemon: Daemon) -> None:
    run(daemon, "one", "sleep 1000")
    daemon.corten("rename", "one", "two")
    run(daemon, "one", "sleep 1000")
    daemon.kill()
    daemon.start()
    assert sorted(daemon.corten("ps", "--format", "{{.Names}}").stdout.split()) == ["one", "two"]
    taken = daemon.corten("rename", "one", "two", check=False)
    assert taken.returncode == 1 and "already in use" in taken.stderr


def test_stats_of_what_works(daemon: Daemon) -> None:
    run(daemon, "one", "while :; do :; done", "-m", "32m")
    line = daemon.corten(
        "stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "one"
    ).stdout.split()
    assert line[0] == "one"
    assert float(line[1].rstrip("%")) > 5
    assert line[4:] == ["32MiB", "1"]
