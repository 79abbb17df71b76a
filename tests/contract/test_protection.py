"""The interpreter that containers are forked from is out of their reach: what root in a
container can do to it before the start, while it runs, and through exec."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from corten.errors import CortenError
from corten.launch.messages import Delete, GetState
from tests.contract.conftest import Make, maker
from tests.contract.driver import Container, Host
from tests.support import eventually

SLEEP = ["sleep", "1000"]
# Opens files for writing, and writes nothing: a defence that fails must not cost the host.
ATTACK = """
for f in {targets}; do
  if (: >> $f) 2>/dev/null; then echo "WON $f"; fi
done
echo tried
"""


def privileged(config: dict[str, object]) -> None:
    """All capabilities, nothing masked, the host's PID namespace: every monitor is in sight."""
    process = config["process"]
    linux = config["linux"]
    assert isinstance(process, dict) and isinstance(linux, dict)
    names = [f"CAP_{name}" for name in (
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID",
        "SETUID", "SETPCAP", "SYS_PTRACE", "SYS_ADMIN", "SYS_CHROOT", "MKNOD",
    )]  # fmt: skip
    process["capabilities"] = {kind: names for kind in ("bounding", "effective", "permitted")}
    linux["maskedPaths"] = []
    linux["readonlyPaths"] = []
    linux["namespaces"] = [item for item in linux["namespaces"] if item["type"] != "pid"]


def mapped(pid: int) -> list[str]:
    """The names in map_files of everything the process has mapped from a file."""
    return [
        f"/proc/{pid}/map_files/{name}" for name in sorted(os.listdir(f"/proc/{pid}/map_files"))
    ]


def digest(path: str) -> bytes:
    return subprocess.run(["sha256sum", path], capture_output=True, check=True).stdout


def test_the_launcher_says_that_it_is_protected(host: Host) -> None:
    assert host.hello.protected
    pid = host.hello.pid
    for path in (f"/proc/{pid}/exe", *mapped(pid)):
        if os.path.isfile(path) and "corten" not in os.readlink(path):
            with pytest.raises(OSError) as caught:
                os.close(os.open(path, os.O_WRONLY))
            assert caught.value.errno == 30, path  # EROFS, with all privileges of the host


def test_a_monitor_and_an_init_that_waits_are_protected(native: Make) -> None:
    container = native(SLEEP).create()
    for pid in (container.forked.pid, container.created.pid):
        assert os.readlink(f"/proc/{pid}/exe").endswith("python3.11")
        for path in (f"/proc/{pid}/exe", *mapped(pid)):
            if os.path.isfile(path):
                with pytest.raises(OSError) as caught:
                    os.close(os.open(path, os.O_WRONLY))
                assert caught.value.errno == 30, path
    container.talk.ask(Delete(force=True))
    container.gone()


def test_privileged_neighbour_in_the_hosts_pid_namespace(native: Make) -> None:
    """It sees every monitor and every init that waits, with CAP_SYS_PTRACE and CAP_SYS_ADMIN."""
    python = os.path.realpath("/usr/bin/python3")
    before = digest(python)
    victim = native(SLEEP).create()
    pids = (victim.forked.pid, victim.created.pid, victim.host.hello.pid)
    targets = [f"/proc/{pid}/exe /proc/{pid}/map_files/*" for pid in pids]
    script = ATTACK.format(targets=" ".join(targets))
    attacker = native(["sh", "-c", script], change=privileged).create().start()
    assert attacker.wait().code == 0
    assert b"tried" in attacker.log.read_bytes() and b"WON" not in attacker.log.read_bytes()
    assert digest(python) == before
    victim.start()
    victim.talk.ask(Delete(force=True))
    victim.gone()


def test_neighbour_without_ptrace_sees_nothing_of_it(native: Make) -> None:
    def host_pids(config: dict[str, object]) -> None:
        linux = config["linux"]
        assert isinstance(linux, dict)
        linux["namespaces"] = [item for item in linux["namespaces"] if item["type"] != "pid"]

    victim = native(SLEEP).create()
    pids = (victim.forked.pid, victim.created.pid, victim.host.hello.pid)
    looks = [
        f"for f in exe root/ fd/ maps mem environ; do cat /proc/{pid}/$f; ls /proc/{pid}/$f; done"
        for pid in pids
    ]
    script = "; ".join([f"({look}) 2>/dev/null" for look in looks]) + "; echo tried"
    attacker = native(["sh", "-c", script], change=host_pids).create().start()
    attacker.wait()
    text = attacker.log.read_text()
    assert "tried" in text
    assert "python" not in text and "PATH=" not in text and "bin" not in text
    victim.talk.ask(Delete(force=True))
    victim.gone()


@pytest.mark.parametrize("entry", ["/proc/self/exe", "/proc/1/exe", "/proc/self/fd/3"])
def test_image_whose_program_is_the_interpreter(native: Make, entry: str) -> None:
    """CVE-2019-5736: an entry point that leads to the runtime's own program."""
    python = os.path.realpath("/usr/bin/python3")
    before = digest(python)
    container = native([entry, "-c", "open('/proc/self/exe', 'r+b')"])
    try:
        container.create().start()
        code = container.wait().code
    except CortenError:
        container.gone()
        code = container.state.exit_code
    assert code != 0
    assert digest(python) == before


def test_exec_of_the_interpreter(native: Make) -> None:
    container = native(SLEEP).create().start()
    python = os.path.realpath("/usr/bin/python3")
    before = digest(python)
    for number, path in enumerate(("/proc/self/exe", "/proc/thread-self/exe", "/bin/link")):
        if path == "/bin/link":
            link = container.exec(["ln", "-s", "/proc/self/exe", path], exec_id="link")
            assert link is not None
            link.raw()
        try:
            stream = container.exec([path, "-c", "pass"], exec_id=f"e{number}")
        except CortenError:
            continue
        assert stream is not None
        stream.raw()
        assert container.talk.event("exec-exit").code != 0 or path == "/bin/link"
    assert digest(python) == before
    assert container.talk.ask(GetState())["status"] == "running"
    container.talk.ask(Delete(force=True))
    container.gone()


def test_a_container_that_watches_for_execs(native: Make) -> None:
    """While others join it, a process of the container attacks every process it can see."""
    python = os.path.realpath("/usr/bin/python3")
    before = digest(python)
    script = """
    echo ready
    while :; do
      for p in /proc/[0-9]*; do
        case $p in /proc/1|/proc/$$) continue;; esac
        (: >> $p/exe) 2>/dev/null && readlink $p/exe
        for f in $p/map_files/*; do (: >> $f) 2>/dev/null && readlink $f; done
        ls -l $p/fd 2>/dev/null | grep -E 'corten|lock|state' && echo "WON fd"
        grep -q SECRET $p/environ 2>/dev/null && echo "WON environ"
      done
    done
    """

    def ptrace(config: dict[str, object]) -> None:
        process = config["process"]
        assert isinstance(process, dict)
        for names in process["capabilities"].values():
            names += ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"]

    container = native(["sh", "-c", script], change=ptrace).create().start()
    eventually(lambda: b"ready" in container.log.read_bytes())
    for number in range(10):
        stream = container.exec(["true"], exec_id=f"e{number}")
        assert stream is not None
        stream.raw()
        container.talk.event("exec-exit")
    container.talk.ask(Delete(force=True))
    container.gone()
    text = container.log.read_text()
    assert "WON" not in text and "python" not in text and ".so" not in text
    assert digest(python) == before


def test_no_descriptor_of_ours_reaches_a_program(make: Make) -> None:
    container = make(["ls", "/proc/self/fd"]).create()
    stream = container.attach()
    container.start()
    found = stream.frames()["stdout"].split()
    assert len(found) == 4  # 0, 1, 2, and the directory that is listed
    container.wait()


def test_no_descriptor_of_ours_reaches_an_exec(make: Make) -> None:
    container = make(SLEEP).create().start()
    stream = container.exec(["ls", "/proc/self/fd"])
    assert stream is not None
    assert len(stream.frames()["stdout"].split()) == 4
    container.talk.ask(Delete(force=True))
    container.gone()


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
def test_nothing_is_imported_after_the_warm_up(layer: Path, tmp_path: Path) -> None:
    """The tree is deleted under a running launcher: everything goes on."""
    tree = tmp_path / "tree"
    source = Path(__file__).resolve().parents[2] / "src/corten"
    for package in ("errors.py", "__init__.py", "kernel", "spec", "cgroups", "oci", "launch"):
        if (source / package).is_dir():
            shutil.copytree(source / package, tree / "corten" / package)
        else:
            (tree / "corten").mkdir(parents=True, exist_ok=True)
            shutil.copy(source / package, tree / "corten" / package)
    host = Host(program=str(tree / "corten/launch/__main__.py"))
    try:
        shutil.rmtree(tree)
        for choice in ({"kind": "native"}, {"kind": "binary", "path": shutil.which("runc")}):
            directory = tmp_path / str(choice["kind"])
            directory.mkdir()
            _live(maker(host, layer, choice), directory)
        _crash(host, maker(host, layer, {"kind": "native"}))
    finally:
        host.close()


def _live(make: Make, directory: Path) -> None:
    """Everything that a monitor does."""
    path = directory / "log"
    log = {"path": str(path), "max_size": 2000, "max_files": 3}
    script = "seq 1 100; read x; exit 3"
    container = make(["sh", "-c", script], stdin_open=True, stdin_once=True, log=log).create()
    stream = container.attach(stdin=True)
    container.start()
    eventually(lambda: Path(f"{path}.2").exists())
    for tty in (False, True):
        out = container.exec(["echo", "hi"], exec_id=f"e{tty}", tty=tty)
        assert out is not None and b"hi" in out.raw()
    with pytest.raises(CortenError):
        container.exec(["missing"], exec_id="missing")
    stream.end_input()
    assert container.wait().code == 3
    killed = make(SLEEP, seccomp="default").create().start()
    killed.talk.ask(Delete(force=True))
    killed.gone()
    missing = make(["missing"])
    with pytest.raises(CortenError):
        missing.create().start()
    missing.gone()


def _crash(host: Host, make: Make) -> None:
    """A defect prints its traceback: the run directory vanishes under the monitor."""
    container: Container = make(SLEEP).create().start()
    (container.dir / "state.json.new").unlink()  # space for the next version
    (container.dir / "state.json.new").mkdir()
    container.talk.connection.send(Delete(force=True))
    container.talk.end()
    text = (container.dir / "monitor.err").read_text()
    assert "Traceback" in text and "IsADirectoryError" in text
    (container.dir / "state.json.new").rmdir()
