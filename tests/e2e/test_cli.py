"""``corten`` against a real daemon: what docker does not have, and what must survive."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.cli_driver import PATHS, Corten
from tests.harness import Daemon, accepts
from tests.support import eventually


@pytest.fixture
def corten(daemon: Daemon) -> Corten:
    eventually(lambda: accepts(daemon.state / "cli.sock"), what="the warm program")
    return Corten(daemon.state)


def test_hello_tells_what_it_sees_and_how_long_it_took(corten: Corten) -> None:
    done = corten("run", "--rm", "hello")
    assert done.returncode == 0
    for word in ("host name", "Namespaces", "Cgroup", "Root file system"):
        assert word in done.stdout
    for step in ("record", "create", "start", "the whole command"):
        assert re.search(rf"{step}.*\d\.\d\d", done.stderr)


def test_timings_of_any_container(corten: Corten) -> None:
    done = corten("run", "--rm", "--timings", "hello", "true")
    assert "create" in done.stderr
    assert corten("run", "--rm", "hello", "true").stderr == ""


def test_an_image_from_this_machine(corten: Corten) -> None:
    done = corten("image", "from-host", "--tag", "mine", "--cmd", "env", "/usr/bin/env")
    assert done.stdout.startswith("sha256:")
    assert "PATH=" in corten("run", "--rm", "mine").stdout
    assert corten("rmi", "mine").stdout.startswith("Untagged: mine:latest\n")


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("/etc", 126)])
def test_exit_codes_of_what_cannot_run(corten: Corten, program: str, code: int) -> None:
    assert corten("run", "--rm", "hello", program).returncode == code
    corten("run", "-d", "--name", "box", "hello", "sleep", "60")
    assert corten("exec", "box", program).returncode == code
    corten("rm", "-f", "box")


def test_errors_have_a_hint(corten: Corten) -> None:
    done = corten("run", "--rm", "--pull", "never", "absent")
    assert (done.returncode, done.stdout) == (125, "")
    assert "Hint: " in done.stderr


def test_a_dead_registry_is_named(corten: Corten) -> None:
    done = corten("run", "--rm", "127.0.0.1:1/x", "true")
    assert done.returncode == 125
    assert "127.0.0.1:1" in done.stderr
    assert "Unable to find image '127.0.0.1:1/x:latest' locally" in done.stderr


def test_much_output_and_input_is_whole(corten: Corten) -> None:
    data = "0123456789abcdef" * 65536
    done = corten("run", "--rm", "-i", "hello", "cat", input=data)
    assert done.stdout == data


EXECS_THAT_FAIL = [
    (["one", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
    (["one", "/no/such"], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
    (["one", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
    (["-w", "/nosuch", "one", "true"], 126, 'chdir to cwd ("/nosuch") set in config.json failed'),
    (["-u", "nobody-here", "one", "true"], 126, "unable to find user nobody-here"),
]


def test_an_exec_that_fails_says_so_as_dockers_does(corten: Corten, daemon: Daemon) -> None:
    corten("run", "-d", "--name", "one", "hello", "sleep", "600")
    prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
    for words, code, text in EXECS_THAT_FAIL:
        done = corten("exec", *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert f"Error response from daemon: {prefix}" in done.stderr
        assert text in done.stderr
        dockers = daemon.docker("exec", *words, check=False)
        assert dockers.returncode == code
        assert prefix in dockers.stdout + dockers.stderr
    assert corten("exec", "two", "true").returncode == 1
    corten("rm", "-f", "one")


def test_exec_on_a_terminal_is_resized(corten: Corten) -> None:
    corten("run", "-d", "--name", "tty", "hello", "sleep", "600")
    child = corten.spawn("exec", "-it", "tty", "sh")
    child.sendline("echo is-$((40+2))")
    child.expect_exact("is-42")
    child.setwinsize(40, 100)
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    assert child.wait() == 3
    corten("rm", "-f", "tty")


@pytest.fixture
def restarted(own_daemon: Daemon) -> Iterator[tuple[Daemon, Corten]]:
    own_daemon.start()
    eventually(lambda: accepts(own_daemon.state / "cli.sock"), what="the warm program")
    yield own_daemon, Corten(own_daemon.state)


@pytest.mark.parametrize("options", [[], ["--rm"]], ids=["kept", "rm"])
def test_an_attached_client_outlives_the_daemon(
    restarted: tuple[Daemon, Corten], options: list[str]
) -> None:
    """The stream does not pass the daemon, and the exit code is asked for again."""
    daemon, corten = restarted
    corten("run", "--rm", "hello", "true")
    child = subprocess.Popen(
        [*corten.argv, "run", "-i", *options, "hello", "sh", "-c",
         "echo before; while read line; do echo got $line; done; exit 7"],
        env=corten.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"before\n"
    daemon.kill()
    child.stdin.write(b"while it is away\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"got while it is away\n"
    daemon.start()
    child.stdin.close()
    assert child.wait(30) == 7
    child.stdout.close()


def test_commands_work_while_there_is_no_warm_program(restarted: tuple[Daemon, Corten]) -> None:
    daemon, corten = restarted
    (daemon.state / "cli.sock").unlink()
    assert corten("run", "--rm", "hello", "echo", "slower").stdout == "slower\n"


def warm_processes(daemon: Daemon) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"corten.cli.warm" in words and os.fsencode(daemon.state) in words:
            found.append(int(entry.name))
    return found


def test_the_warm_program_ends_with_the_daemon_and_comes_back(
    restarted: tuple[Daemon, Corten],
) -> None:
    daemon, corten = restarted
    for pid in warm_processes(daemon):
        with contextlib.suppress(ProcessLookupError):  # one may end with the other
            os.kill(pid, signal.SIGKILL)
    assert corten("ps", "-q").returncode == 0
    eventually(lambda: len(warm_processes(daemon)) >= 2, deadline=30, what="another one")
    daemon.kill()
    eventually(lambda: not warm_processes(daemon), what="an end with the daemon")
    daemon.start()


def test_root_starts_a_daemon_that_is_not_there(own_daemon: Daemon) -> None:
    corten = Corten(own_daemon.state)
    environ = {"CORTEN_ROOT": str(own_daemon.root)}
    done = corten("run", "--rm", "hello", "echo", "up", env=environ)
    assert (done.returncode, done.stdout) == (0, "up\n")
    assert "starting the daemon" in done.stderr
    lock = (own_daemon.state / "lock").read_text()
    assert "starting" not in corten("run", "--rm", "hello", "true", env=environ).stderr
    assert lock == (own_daemon.state / "lock").read_text()
    stop(own_daemon)


def stop(daemon: Daemon) -> None:
    """End a daemon that the harness has not started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"corten.daemon" in words and os.fsencode(daemon.state) in words:
            os.kill(int(entry.name), signal.SIGTERM)
    eventually(lambda: not accepts(daemon.state / "corten.sock"), deadline=30, what="its end")


def test_another_user_is_told_what_to_type(daemon: Daemon, tmp_path: Path) -> None:
    def become_nobody() -> None:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)

    done = Corten(daemon.state)("ps", preexec_fn=become_nobody)
    assert done.returncode == 1
    assert "usermod -aG corten" in done.stderr


def test_python_api(daemon: Daemon) -> None:
    from corten.client import Client

    with Client(f"{daemon.state}/corten.sock") as client:
        client.images.ensure_hello()
        result = client.containers.run("hello", ["sh", "-c", "cat; echo e >&2; exit 5"],
                                       stdin=b"in")  # fmt: skip
        assert (result.code, result.stdout, result.stderr) == (5, b"in", b"e\n")
        container = client.containers.start("hello", ["sh", "-c", "echo a; sleep 600"])
        assert container.exec(["echo", "x"]).stdout == b"x\n"
        eventually(lambda: [line.data for line in container.logs()] == [b"a\n"])
        assert container.attrs["steps"]
        container.remove(force=True)
        assert container.id not in [c.id for c in client.containers.list()]


def test_pods_are_listed(daemon: Daemon, corten: Corten) -> None:
    from corten.client import Client

    with Client(f"{daemon.state}/corten.sock", tenant="k8s") as client:
        client.images.ensure_hello()
        config = {"name": "web", "namespace": "shop", "uid": "1", "host_network": True}
        pod = client.connection.call("run_pod", tenant="k8s", config=config)
        inside = client.connection.call(
            "create_container", tenant="k8s", name="k8s_c", pod_id=pod["id"],
            config={"image": "hello", "cmd": ["sleep", "60"], "namespaces": {"network": "pod"}},
        )  # fmt: skip
        client.containers.get(inside["id"]).start()
        rows = corten("ps", "--tenant", "k8s", "--format", "{{.Names}} {{.Pod}}").stdout
        assert rows.splitlines() == ["shop/web shop/web", "k8s_c shop/web"]
        assert "k8s_c" not in corten("ps", "-a").stdout
        assert "k8s_c" in corten("ps", "-a", "--tenant", "all").stdout
        assert "shop" in corten("pod", "ls").stdout
        assert corten("pod", "inspect", "-f", "{{.Ready}}", "shop/web").stdout == "true\n"
        client.containers.get("k8s_c").remove(force=True)
        client.pods.get(pod["id"]).stop()
        client.pods.get(pod["id"]).remove()
    assert corten("pod", "inspect", "shop/web").returncode == 1


def test_processes(corten: Corten) -> None:
    corten("run", "-d", "--name", "busy", "hello", "sleep", "601")
    assert "sleep 601" in corten("top", "busy").stdout
    assert corten("top", "busy", "-eo", "pid,args").stdout.startswith("PID")
    assert corten("top", "busy", "-eo", "args").returncode == 1
    corten("rm", "-f", "busy")


def test_events_tell_a_life(corten: Corten) -> None:
    begun = time.time()
    corten("run", "--rm", "--name", "life", "hello", "sh", "-c", "exit 3")
    done = corten("events", "--since", str(begun), "--until", str(time.time() + 0.1),
                  "--filter", "container=life", "--format", "{{.Action}}")  # fmt: skip
    assert done.stdout.split() == ["create", "start", "die", "destroy"]


def test_upgrade_under_a_warm_program(own_daemon: Daemon, tmp_path: Path) -> None:
    """The tree it was imported from is gone; every command still works in its workers."""
    import shutil

    tree = tmp_path / "lib"
    shutil.copytree(PATHS[0], tree, ignore=shutil.ignore_patterns("__pycache__"))
    own_daemon.start()
    eventually(lambda: accepts(own_daemon.state / "cli.sock"))
    lifeline, ours = os.pipe()
    state = own_daemon.base / "w"
    state.mkdir(mode=0o711)
    (state / "corten.sock").symlink_to(own_daemon.state / "corten.sock")
    code = (
        f"import sys; sys.path[:0] = [{str(tree)!r}, *{PATHS[1:]!r}]; "
        "from corten.cli.warm import main; main()"
    )
    warm = subprocess.Popen(
        ["/usr/bin/python3", "-IS", "-c", code, "--state", str(state)], stdin=lifeline
    )
    os.close(lifeline)
    try:
        eventually(lambda: accepts(state / "cli.sock"))
        shutil.rmtree(tree)
        _every_kind_of_command(Corten(state, bare=True))
    finally:
        os.close(ours)
        warm.wait(10)


def _every_kind_of_command(corten: Corten) -> None:
    def ok(*args: str, code: int = 0, **options: Any) -> str:
        done = corten(*args, **options)
        assert done.returncode == code, (args, done.stderr)
        assert "no warm worker" not in done.stderr
        return str(done.stdout)

    assert "Hello" in ok("run", "--name", "one", "hello")
    ok("logs", "-t", "--since", "2020-01-01T00:00:00Z", "one")
    ok("ps", "-a", "--filter", "name=^one$", "--format", "table {{.Names}}\t{{.Status}}")
    ok("inspect", "-f", "{{json .}}", "one")
    ok("images", "--filter", "reference=hel*")
    ok("run", "-d", "--name", "two", "hello", "sleep", "600")
    ok("exec", "two", "true")
    ok("top", "two")
    ok("stop", "-t", "0", "two")
    ok("rm", "one", "two")
    ok("events", "--since", "1m", "--until", "0s")
    ok("info")
    ok("version")
    ok("completion", "bash")
    ok("run", "--nonsense", code=125)
    ok("pull", "127.0.0.1:1/x", code=1)
    child = corten.spawn("pull", "127.0.0.1:1/x")
    child.expect(pexpect.EOF)
    assert b"ImportError" not in child.before
    child = corten.spawn("run", "-it", "--rm", "hello", "sh", "-c", "exit 4")
    child.expect(pexpect.EOF)
    assert child.wait() == 4
