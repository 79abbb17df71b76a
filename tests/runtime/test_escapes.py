"""Published ways out of a container, each named after its number, and the rules of the design
("Rules for security") that keep the interpreter out of reach."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle
from tests.runtime.test_process import fields
from tests.runtime.test_terminal import (  # noqa: F401  # a fixture
    ConsoleSocket,
    console,
    read_until,
)
from tests.support import eventually

# Opens what a process executes, and everything it has mapped, for writing.
ATTACK = """
import posix
def attempt(path):
    try:
        posix.close(posix.open(path, posix.O_WRONLY))
    except OSError as error:
        return error.errno
    return 0
print(attempt('/proc/self/exe'))
"""


def opened_for_writing(path: str) -> int:
    """0, or why the kernel refuses."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError as error:
        return error.errno or -1
    return 0


def exposed(pid: int) -> list[str]:
    """Files of the host behind a process that could be written: its program and libraries."""
    paths = [f"/proc/{pid}/exe"]
    paths += [f"/proc/{pid}/map_files/{name}" for name in os.listdir(f"/proc/{pid}/map_files")]
    return [
        f"{path} -> {os.readlink(path)}"
        for path in paths
        if opened_for_writing(path) not in (errno.EROFS, errno.ENOENT)
    ]


@pytest.mark.parametrize("user_namespace", [False, True])
def test_cve_2019_5736_program_is_proc_self_exe(
    box: Bundle, ours: None, user_namespace: bool
) -> None:
    if user_namespace:
        from tests.runtime.test_namespaces import user_namespace as add

        add(box)
    box.process["args"] = ["/proc/self/exe", "-IS", "-c", ATTACK]
    assert box.output() == f"{errno.EROFS}\n"


def test_cve_2019_5736_by_a_script(box: Bundle, ours: None) -> None:
    script = box.rootfs / "usr/bin/script"
    script.write_text(f"#!/proc/self/exe -IS\n{ATTACK}")
    script.chmod(0o755)
    box.process["args"] = ["script"]
    assert box.output() == f"{errno.EROFS}\n"


def test_cve_2019_5736_by_exec(box: Bundle, ours: None) -> None:
    box.running()
    done = box.exec("/proc/self/exe", "-IS", "-c", ATTACK)
    assert done.stdout == f"{errno.EROFS}\n", done.stderr


def test_cve_2019_5736_with_all_capabilities(box: Bundle, ours: None) -> None:
    everything = [f"CAP_{name}" for name in ("SYS_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE", "MKNOD")]
    box.process["capabilities"] = {
        kind: everything for kind in ("bounding", "effective", "permitted")
    }
    remount = "import ctypes; ctypes.CDLL(None).mount(b'', b'/proc/self/exe', b'', 0x1020, None)\n"
    box.process["args"] = ["/proc/self/exe", "-IS", "-c", remount + ATTACK]
    assert box.output() == f"{errno.EROFS}\n"


def test_init_before_its_program_is_out_of_reach(box: Bundle, ours: None) -> None:
    box.created()
    assert exposed(box.pid) == []


def test_joiner_before_its_program_is_out_of_reach(box: Bundle, ours: None) -> None:
    box.running()
    box.do("pause")
    # it freezes at the moment it joins the cgroup
    argv = [*box.runtime.argv, "--root", str(box.runtime.root),
            "exec", "--ignore-paused", box.id, "true"]  # fmt: skip
    with subprocess.Popen(argv) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

        def frozen() -> int:  # there are two, one after the other; one of them joins
            for pid in children.read_text().split():
                with contextlib.suppress(OSError):
                    if box.id in Path(f"/proc/{pid}/cgroup").read_text():
                        return int(pid)
            return 0

        joiner = eventually(frozen, what="the joiner's freezing")
        assert exposed(joiner) == []
        assert os.readlink(f"/proc/{joiner}/root") == os.readlink(f"/proc/{box.pid}/root")
        assert os.readlink(f"/proc/{joiner}/ns/mnt") == os.readlink(f"/proc/{box.pid}/ns/mnt")
        box.do("resume")
        assert process.wait(20) == 0


def test_init_holds_nothing_of_the_host(box: Bundle) -> None:
    box.created()
    targets = [os.readlink(f"/proc/{box.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{box.pid}/fd")]
    harmless = ("socket:", "/dev/null", str(box.path / "out"), str(box.path / "err"), "pipe:",
                "anon_inode:")  # fmt: skip
    allowed = [*harmless, *([] if box.runtime.own else ["/"])]  # runc's exec.fifo
    assert [t for t in targets if not t.startswith(tuple(allowed))] == []


def test_cve_2016_9962_other_processes_can_not_look_in(
    new_bundle: Callable[[], Bundle],
) -> None:
    victim, attacker = new_bundle(), new_bundle()
    attacker.running()
    victim.namespace("pid", f"/proc/{attacker.pid}/ns/pid")
    victim.created()
    status = Path(f"/proc/{victim.pid}/status").read_text()
    inside = fields(status)["NSpid"].split()[-1]
    script = f"for n in exe root cwd fd/0 fd/3; do readlink /proc/{inside}/$n; done; exit 0"
    done = attacker.exec("sh", "-c", script)
    assert done.returncode == 0
    assert done.stdout == ""


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9, 10])
def test_cve_2024_21626_working_directory(box: Bundle, number: int) -> None:
    box.process["cwd"] = f"/proc/self/fd/{number}"
    box.shell("cat ../../../../../../etc/hostname ../../../../../../../proc/1/comm")
    done = box.run()
    assert done.returncode != 0
    assert Path("/etc/hostname").read_text() not in done.stdout


def test_cve_2024_21626_by_exec(box: Bundle) -> None:
    box.running()
    for number in range(3, 12):
        done = box.exec("pwd", options=["--cwd", f"/proc/self/fd/{number}"])
        assert done.returncode != 0 or done.stdout.startswith("/proc"), done.stdout


def test_cve_2024_21626_by_a_link(box: Bundle) -> None:
    (box.rootfs / "away").symlink_to("/proc/self/fd/7")
    box.process["cwd"] = "/away"
    assert box.run().returncode != 0


def test_cve_2024_21626_by_a_preserved_descriptor(box: Bundle) -> None:
    # the one descriptor that is meant to be there: it must not become the working directory
    box.process["cwd"] = "/proc/self/fd/3"
    box.shell("ls ..")
    box.write()
    argv = [*box.runtime.argv, "--root", str(box.runtime.root), "run", "--preserve-fds", "1",
            "-b", str(box.path), box.id]  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" 3</usr', "x", *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_cve_2019_19921_kernel_file_systems_through_links(box: Bundle, name: str) -> None:
    (box.rootfs / name).rmdir()
    (box.rootfs / "elsewhere").mkdir()
    (box.rootfs / name).symlink_to("elsewhere")
    box.linux["maskedPaths"] = ["/proc/timer_list"]
    assert box.run().returncode == 1


def test_cve_2019_16884_a_volume_at_proc_gets_no_writes(box: Bundle, ours: None) -> None:
    fake = box.path / "fake"
    (fake / "sys/net/ipv4").mkdir(parents=True)
    (fake / "sys/net/ipv4/ip_forward").write_text("untouched")
    (fake / "self").mkdir()
    (fake / "self/oom_score_adj").write_text("untouched")
    box.config["mounts"] = [m for m in box.config["mounts"] if m["destination"] != "/proc"]
    box.bind(fake, "/proc")
    box.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    box.process["oomScoreAdj"] = 100
    box.output("true")
    assert (fake / "sys/net/ipv4/ip_forward").read_text() == "untouched"
    assert (fake / "self/oom_score_adj").read_text() == "untouched"


def fake_dev(box: Bundle) -> Path:
    """``/dev`` as a volume that somebody prepared."""
    dev = box.path / "dev"
    dev.mkdir()
    box.config["mounts"] = [m for m in box.config["mounts"] if m["destination"][:4] != "/dev"]
    box.bind(dev, "/dev")
    return dev


def test_cve_2025_31133_null_is_a_link(box: Bundle, ours: None) -> None:
    (fake_dev(box) / "null").symlink_to("/proc/sys/kernel/core_pattern")
    box.linux["maskedPaths"] = ["/proc/timer_list"]
    done = box.run()
    assert done.returncode == 1
    assert "/dev/null" in done.stderr


def test_cve_2025_31133_null_is_missing(box: Bundle, ours: None) -> None:
    fake_dev(box)
    box.linux["maskedPaths"] = ["/proc/timer_list"]
    assert box.run().returncode == 1


def test_cve_2025_52565_console_is_a_link(
    box: Bundle,
    ours: None,
    console: ConsoleSocket,  # noqa: F811  # the fixture
) -> None:
    box.process["terminal"] = True
    target = box.rootfs / "etc/target"
    target.write_text("untouched")
    # the tmpfs at /dev is filled from the image
    (box.rootfs / "dev/console").symlink_to("/etc/target")
    for mount in box.config["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"] = ["nosuid", "tmpcopyup", "mode=755"]
    box.shell("stat -c %F /etc/target; sleep 60")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    assert read_until(master, b"\n") == b"regular file\r\n"
    assert target.read_text() == "untouched"


def test_cve_2025_52565_multiplexer_is_a_file(
    box: Bundle,
    ours: None,
    console: ConsoleSocket,  # noqa: F811  # the fixture
) -> None:
    (fake_dev(box) / "ptmx").write_text("a trap")
    box.process["terminal"] = True
    assert box.create("--console-socket", str(console.path)).returncode == 1


def test_cve_2026_41579_dev_is_a_link(box: Bundle, tmp_path: Path, ours: None) -> None:
    # red with runc 1.1.5
    outside = tmp_path / "outside"
    outside.mkdir()
    # without a tmpfs there the nodes and links are made where the link leads
    mounts = box.config["mounts"]
    box.config["mounts"] = [m for m in mounts if not m["destination"].startswith("/dev")]
    (box.rootfs / "dev").rmdir()
    (box.rootfs / "dev").symlink_to(f"../../../../../../../..{outside}")
    assert box.run().returncode == 1
    assert list(outside.iterdir()) == []


def test_cve_2022_29162_exec_gives_no_inheritable_capabilities(box: Bundle) -> None:
    box.running()
    status = fields(box.exec("cat", "/proc/self/status", options=["--cap", "CAP_KILL"]).stdout)
    assert int(status["CapInh"], 16) == 0


def test_cve_2021_30465_targets_swapped_meanwhile(
    new_bundle: Callable[[], Bundle], tmp_path: Path, ours: None
) -> None:
    # red with runc 1.1.5, which makes directories outside (CVE-2024-45310)
    outside = tmp_path / "outside"
    outside.mkdir()
    box = new_bundle()
    spot, aside = box.rootfs / "spot", box.rootfs / "aside"
    spot.mkdir()
    aside.symlink_to(f"../../../../../../../..{outside}")
    source = box.path / "volume"
    source.mkdir()
    box.bind(source, "/spot/made")
    box.mount("/spot/also", "tmpfs")
    stop = threading.Event()

    def swap() -> None:
        libc = ctypes.CDLL(None)
        while not stop.is_set():
            # AT_FDCWD, RENAME_EXCHANGE
            libc.renameat2(-100, os.fsencode(spot), -100, os.fsencode(aside), 2)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(15):
            box.run()  # may fail, must not work outside
    finally:
        stop.set()
        thread.join()
    assert list(outside.iterdir()) == []
    assert str(outside) not in Path("/proc/self/mountinfo").read_text()


WHOLE_PROC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
ids = os.getuid(), os.getgid()
assert libc.unshare(0x10000000 | 0x20000 | 0x20000000) == 0  # user, mount, pid
for name, text in ("setgroups", "deny"), ("uid_map", f"0 {ids[0]} 1"), ("gid_map", f"0 {ids[1]} 1"):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
pid = os.fork()
if pid == 0:
    done = libc.mount(b"none", b"/proc", b"proc", 0, None)
    print(os.strerror(ctypes.get_errno()) if done else "mounted", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_a_user_namespace_made_inside_gets_no_whole_proc(
    box: Bundle, tmp_path: Path, options: tuple[str, ...]
) -> None:
    # one procfs of the host's that stays in sight would allow another
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", str(other)], check=True)
    try:
        box.linux["maskedPaths"] = ["/proc/uptime"]
        box.process["user"] = {"uid": 1000, "gid": 1000}
        box.probe(WHOLE_PROC)
        done = box.run(*options)
        assert done.stdout == "Operation not permitted\n", done.stderr
    finally:
        subprocess.run(["umount", str(other)], check=True)


def test_session_keyring_is_its_own(box: Bundle) -> None:
    probe = (
        "import ctypes\n"
        "out = ctypes.create_string_buffer(200)\n"
        "ctypes.CDLL(None).syscall(250, 6, -3, out, 200)\n"  # keyctl, KEYCTL_DESCRIBE, session
        "print(out.value.decode().rpartition(';')[2])"
    )
    box.probe(probe)
    assert box.output() == f"_ses.{box.id}\n"
    done = box.run("--no-new-keyring")
    assert done.stdout != f"_ses.{box.id}\n"


def test_the_hosts_interpreter_is_not_mounted_inside(box: Bundle) -> None:
    rows = box.output("cat /proc/self/mountinfo").splitlines()
    sources = [row.partition(" - ")[2].split()[1] for row in rows]
    assert "corten" not in sources
