"""The filter is in force in the program, and in it alone."""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import Bundle
from tests.runtime.test_process import fields


def deny(*names: str, action: str = "SCMP_ACT_ERRNO", **more: Any) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": list(names), "action": action, **more}],
    }


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_denied_call(box: Bundle, no_new_privileges: bool) -> None:
    box.process["noNewPrivileges"] = no_new_privileges
    box.linux["seccomp"] = deny("mkdir", "mkdirat")
    assert "Operation not permitted" in box.output("mkdir /x 2>&1; true")
    assert fields(box.output("cat /proc/self/status"))["Seccomp"] == "2"


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_the_capability_that_loads_it_is_gone(box: Bundle, no_new_privileges: bool) -> None:
    box.process["noNewPrivileges"] = no_new_privileges
    box.linux["seccomp"] = deny("mkdir")
    for user in ({"uid": 0, "gid": 0}, {"uid": 1000, "gid": 1000}):
        box.process["user"] = user
        status = fields(box.output("cat /proc/self/status"))
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert not int(status[kind], 16) >> 21 & 1, (user, kind)  # CAP_SYS_ADMIN


def test_errno(box: Bundle) -> None:
    box.linux["seccomp"] = deny("mkdir", "mkdirat", errnoRet=28)
    assert "No space left" in box.output("mkdir /x 2>&1; true")


def test_kill(box: Bundle) -> None:
    box.linux["seccomp"] = deny("mkdir", "mkdirat", action="SCMP_ACT_KILL_PROCESS")
    box.shell("sh -c 'mkdir /x'; echo $?")
    assert box.run().stdout == "159\n"  # 128 + SIGSYS


def test_arguments(box: Bundle) -> None:
    rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}  # fmt: skip
    box.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    box.probe(
        "import _ctypes, ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "print(libc.socket(2, 1, 0) >= 0, libc.socket(1, 1, 0) >= 0)"
    )
    assert box.output() == "False True\n"


def test_filter_that_allows_little_more_than_the_exec(box: Bundle, ours: None) -> None:
    # what the runtime itself needs after loading it is in here: nothing but execve
    names = ["execve", "execveat", "exit", "exit_group", "write", "brk", "mmap", "munmap",
             "mprotect", "arch_prctl", "openat", "newfstatat", "fstat", "read", "pread64",
             "close", "access", "set_tid_address", "set_robust_list", "rseq", "prlimit64",
             "getrandom", "fadvise64"]  # fmt: skip
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
    box.process["args"] = ["echo", "alive"]
    assert box.output() == "alive\n"


def test_exec_has_it_too(box: Bundle) -> None:
    box.linux["seccomp"] = deny("mkdir", "mkdirat")
    box.running()
    done = box.exec("mkdir", "/x")
    assert "Operation not permitted" in done.stderr


def test_a_hook_inside_is_confined_too(box: Bundle, ours: None) -> None:
    # red with runc before 1.2
    box.linux["seccomp"] = deny("mkdir", "mkdirat", action="SCMP_ACT_KILL_PROCESS")
    box.config["hooks"] = {"startContainer": [{"path": "/usr/bin/mkdir", "args": ["mkdir", "/x"]}]}
    done = box.run()
    assert done.returncode == 1
    assert "error running startContainer hook #0: signal: bad system call" in done.stderr
    assert not (box.rootfs / "x").exists()


def test_unknown_action_is_refused(box: Bundle) -> None:
    box.linux["seccomp"] = {"defaultAction": "SCMP_ACT_NONSENSE"}
    assert box.run().returncode == 1


def test_unknown_calls_are_left_out(box: Bundle) -> None:
    # a profile written for a newer kernel works on an older one
    box.linux["seccomp"] = deny("no_such_call_yet", "mkdir")
    box.output("true")


def test_notification_descriptor(box: Bundle, ours: None, tmp_path: Path) -> None:
    path = Path(f"/tmp/corten-notify-{os.getpid()}")
    box.linux["seccomp"] = {
        **deny("mkdir", "mkdirat", action="SCMP_ACT_NOTIFY"),
        "listenerPath": str(path),
        "listenerMetadata": "something",
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        got = taken(listener, box.running)
        inside = taken(listener, lambda: box.exec("true"))
    path.unlink()
    assert got["pid"] == box.pid
    # its number as we see it, which is another than init's
    assert inside["pid"] not in (0, box.pid)
    for one in (got, inside):
        assert one["fds"] == ["seccompFd"]
        assert one["metadata"] == "something"
        assert one["state"]["id"] == box.id
        assert one["link"] == "anon_inode:seccomp notify"


def taken(listener: socket.socket, do: Callable[[], object]) -> dict[str, Any]:
    """What comes to the socket meanwhile, and what its descriptor is."""
    got: dict[str, Any] = {}

    def take() -> None:
        connection, _ = listener.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
        fds = array.array("i")
        fds.frombytes(ancillary[0][2][:4])
        got.update(json.loads(data), link=os.readlink(f"/proc/self/fd/{fds[0]}"))
        os.close(fds[0])

    thread = threading.Thread(target=take)
    thread.start()
    do()
    thread.join()
    return got
