"""What the program finds itself to be: user, rights, limits, environment, descriptors."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import Bundle

STATUS = "cat /proc/self/status"


def fields(text: str) -> dict[str, str]:
    """The lines of ``/proc/PID/status``."""
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def test_arguments_arrive_as_they_are(box: Bundle) -> None:
    box.process["args"] = ["sh", "-c", 'for a; do echo "[$a]"; done', "x", "", "a b", "ü", "*"]
    assert box.output() == "[]\n[a b]\n[ü]\n[*]\n"


def test_environment_is_the_configurations(box: Bundle) -> None:
    box.process["env"] = ["PATH=/usr/bin", "A=1", "B=x=y", "HOME=/tmp"]
    box.process["args"] = ["env"]
    assert sorted(box.output().splitlines()) == ["A=1", "B=x=y", "HOME=/tmp", "PATH=/usr/bin"]


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/user"), (4321, "/")])
def test_home_comes_from_the_containers_passwd(box: Bundle, uid: int, home: str) -> None:
    box.process["user"] = {"uid": uid, "gid": 0}
    assert box.output("echo $HOME") == f"{home}\n"


def test_working_directory_is_made(box: Bundle) -> None:
    box.process["cwd"] = "/new/place"
    assert box.output("pwd") == "/new/place\n"
    assert (box.rootfs / "new/place").stat().st_mode & 0o777 == 0o755


def test_working_directory_of_the_user_alone(box: Bundle) -> None:
    home = box.rootfs / "home/user"
    home.chmod(0o700)
    os.chown(home, 1000, 1000)
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.process["cwd"] = "/home/user"
    assert box.output("pwd") == "/home/user\n"


def test_user_group_and_additional_groups(box: Bundle) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 2000]}
    status = fields(box.output(STATUS))
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["5", "2000"]


def test_no_groups_of_the_caller_are_kept(box: Bundle) -> None:
    assert fields(box.output(STATUS))["Groups"] == ""


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups"),
    [
        ("", 0, 0, "0 2001"),
        ("user", 1000, 1000, "1000 2000 2001"),
        ("1000", 1000, 1000, "1000 2000 2001"),
        ("user:extra", 1000, 2000, "2000"),
        ("user:77", 1000, 77, "77"),
        ("4321", 4321, 0, "0"),
        ("4321:more", 4321, 2001, "2001"),
    ],
)
def test_names_are_resolved_inside(
    box: Bundle, ours: None, user: str, uid: int, gid: int, groups: str
) -> None:
    box.process["user"] = {"username": user}
    status = fields(box.output(STATUS))
    assert status["Uid"].split()[0] == str(uid)
    assert status["Gid"].split()[0] == str(gid)
    assert status["Groups"] == groups


def test_additional_group_names(box: Bundle, ours: None) -> None:
    box.process["user"] = {"username": "4321", "additionalGroupNames": ["extra", "88"]}
    assert fields(box.output(STATUS))["Groups"] == "0 88 2000"


def test_unknown_user_is_named(box: Bundle, ours: None) -> None:
    box.process["user"] = {"username": "nobody-here"}
    done = box.run()
    assert done.returncode == 1
    assert "unable to find user nobody-here: no matching entries in passwd file" in done.stderr


@pytest.mark.parametrize(("umask", "expected"), [(None, "0022"), (0o077, "0077"), (0, "0000")])
def test_umask(box: Bundle, umask: int | None, expected: str) -> None:
    if umask is not None:
        box.process["user"]["umask"] = umask
    assert box.output("umask") == f"{expected}\n"


def mask(*numbers: int) -> str:
    return f"{sum(1 << n for n in numbers):016x}"


def test_capabilities_of_root(box: Bundle) -> None:
    box.process["noNewPrivileges"] = False
    box.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN"],
    }
    status = fields(box.output(STATUS))
    # root's exec takes what the bounding set allows (capabilities(7))
    assert status["CapBnd"] == mask(0, 5)
    assert status["CapPrm"] == mask(0, 5)
    assert status["CapInh"] == status["CapAmb"] == mask()


def test_capabilities_of_a_user(box: Bundle) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1000}
    status = fields(box.output(STATUS))
    assert status["CapPrm"] == status["CapEff"] == status["CapAmb"] == mask()
    assert status["CapBnd"] != mask()


def test_ambient_capabilities_survive_the_exec(box: Bundle) -> None:
    names = ["CAP_NET_BIND_SERVICE", "CAP_KILL"]
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    box.process["capabilities"] = {kind: names for kind in kinds}
    box.process["user"] = {"uid": 1000, "gid": 1000}
    status = fields(box.output(STATUS))
    for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert status[kind] == mask(5, 10), kind


def test_no_capabilities_without_the_member(box: Bundle) -> None:
    del box.process["capabilities"]
    status = fields(box.output(STATUS))
    assert status["CapEff"] == status["CapBnd"] == mask()


@pytest.mark.parametrize("on", [True, False])
def test_no_new_privileges(box: Bundle, on: bool) -> None:
    box.process["noNewPrivileges"] = on
    assert fields(box.output(STATUS))["NoNewPrivs"] == str(int(on))


def test_rlimits(box: Bundle) -> None:
    box.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert box.output("ulimit -Sn; ulimit -Hn; ulimit -c") == "100\n200\n0\n"


def test_limits_too_small_for_the_runtime(box: Bundle, ours: None) -> None:
    # they are the program's, and must not hit what prepares it
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}]
    assert box.output("ulimit -n") == "4\n"


def test_unknown_rlimit_is_named(box: Bundle) -> None:
    box.process["rlimits"] = [{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]
    done = box.run()
    assert done.returncode == 1
    assert "RLIMIT_NONSENSE" in done.stderr


def test_oom_score(box: Bundle) -> None:
    box.process["oomScoreAdj"] = 500
    assert box.output("cat /proc/self/oom_score_adj") == "500\n"


def test_session_and_signals_are_fresh(box: Bundle) -> None:
    status = fields(box.output(STATUS))
    assert status["SigIgn"] == status["SigBlk"] == mask()
    # cat is the shell's replacement or child; its session is the container's own
    assert box.output("cut -d' ' -f6 /proc/self/stat") == "1\n"


def test_nothing_but_stdio_is_open(box: Bundle) -> None:
    box.probe("import posix; print(sorted(int(f) for f in posix.listdir('/proc/self/fd'))[:-1])")
    # the last one is the directory itself
    assert box.output() == "[0, 1, 2]\n"


def test_preserved_descriptors(box: Bundle) -> None:
    box.probe("import posix; posix.write(4, b'hello'); print(posix.read(3, 9))")
    box.write()
    read, write = os.pipe()
    back, there = os.pipe()
    os.write(write, b"told you")
    # the runtime inherits them as 3 and 4
    script = f'exec "$@" 3<&{read} 4>&{there}'
    argv = [*box.runtime.argv, "--root", str(box.runtime.root), "run", "--preserve-fds", "2",
            "-b", str(box.path), box.id]  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", script, "x", *argv],
        pass_fds=(read, there), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "b'told you'\n", done.stderr
    assert os.read(back, 9) == b"hello"
    for fd in (read, write, back, there):
        os.close(fd)


@pytest.mark.parametrize("name", ["missing", "/usr/bin/missing", "./missing"])
def test_missing_program(box: Bundle, name: str) -> None:
    box.process["args"] = [name]
    done = box.run()
    assert done.returncode == 1
    assert "executable file not found in $PATH" in done.stderr or "no such file" in done.stderr
    assert box.runtime("state", box.id).returncode == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/usr/bin/plain", "permission denied"),
        ("/usr/bin/garbage", "exec format error"),
        ("/usr/bin/nointerpreter", "no such file or directory"),
    ],
)
def test_program_that_can_not_be_executed(box: Bundle, name: str, text: str) -> None:
    box.process["args"] = [name]
    done = box.run()
    assert done.returncode == 1
    assert text in done.stderr


def test_directory_is_no_program(box: Bundle) -> None:
    box.process["args"] = ["/usr"]
    assert box.run().returncode == 1


def test_program_is_searched_in_the_containers_path(box: Bundle) -> None:
    place = box.rootfs / "opt/own"
    place.mkdir(parents=True)
    (place / "greet").write_text("#!/bin/sh\necho greetings\n")
    (place / "greet").chmod(0o755)
    box.process["env"] = ["PATH=/nowhere:/opt/own:/usr/bin"]
    box.process["args"] = ["greet"]
    assert box.output() == "greetings\n"


def test_program_of_the_user_alone(box: Bundle) -> None:
    (box.rootfs / "usr/bin/secret").write_text("#!/bin/sh\n")
    (box.rootfs / "usr/bin/secret").chmod(0o700)
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.process["capabilities"] = {}
    box.process["args"] = ["secret"]
    done = box.run()
    assert done.returncode == 1
    assert "permission denied" in done.stderr


def test_personality(box: Bundle, ours: None) -> None:
    box.linux["personality"] = {"domain": "LINUX32"}
    assert box.output("uname -m") == "i686\n"


def test_scheduler(box: Bundle, ours: None) -> None:
    box.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    box.probe("import posix; print(posix.sched_getscheduler(0), posix.getpriority(0, 0))")
    assert box.output() == "3 5\n"


def test_io_priority(box: Bundle, ours: None) -> None:
    box.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    box.probe(
        "import ctypes; print(ctypes.CDLL(None).syscall(252, 1, 0) >> 13)"  # ioprio_get, x86_64
    )
    assert box.output() == "3\n"


def test_input_reaches_the_program(box: Bundle) -> None:
    box.process["args"] = ["cat"]
    box.write()
    argv = [*box.runtime.argv, "--root", str(box.runtime.root), "run", "-b", str(box.path), box.id]
    done = subprocess.run(argv, input="in and out", capture_output=True, text=True, check=False)
    assert done.stdout == "in and out"


def test_limits_can_not_be_raised_quietly(box: Bundle, ours: None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": hard, "hard": hard * 2}]
    done = box.run()
    if "CAP_SYS_RESOURCE" in _own_capabilities():
        assert done.returncode == 0
    else:
        assert "RLIMIT_NOFILE can't be raised" in done.stderr


def _own_capabilities() -> list[str]:
    effective = int(fields(Path("/proc/self/status").read_text())["CapEff"], 16)
    return ["CAP_SYS_RESOURCE"] if effective >> 24 & 1 else []


@pytest.mark.parametrize(
    ("member", "value"),
    [("args", []), ("args", "true"), ("cwd", ""), ("env", [1]), ("user", {"uid": -1})],
)
def test_malformed_process_is_refused(box: Bundle, member: str, value: Any) -> None:
    box.process[member] = value
    assert box.run().returncode == 1


def test_nul_bytes_are_refused(box: Bundle) -> None:
    box.process["args"] = ["true", "a\0b"]
    assert box.run().returncode == 1


def test_each_variable_has_its_last_value_once(box: Bundle, ours: None) -> None:
    box.process["env"] += ["ONE=two", "HOME=", "ONE=three"]
    said = box.output("env").splitlines()
    assert [line for line in said if line.startswith("ONE=")] == ["ONE=three"]
    assert [line for line in said if line.startswith("HOME=")] == ["HOME=/root"]


def test_what_we_are_bound_to_binds_no_container(box: Bundle, ours: None) -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("needs two processors")
    os.sched_setaffinity(0, {min(allowed)})
    try:
        said = box.output("grep Cpus_allowed_list /proc/self/status")
    finally:
        os.sched_setaffinity(0, allowed)
    assert said.split()[1] != str(min(allowed))


@pytest.mark.parametrize("kept", [False, True])
def test_groups_that_are_kept(box: Bundle, ours: None, kept: bool) -> None:
    # podman's --group-add keep-groups
    if kept:
        box.config["annotations"] = {"run.oci.keep_original_groups": "1"}
    box.shell("grep Groups /proc/self/status")
    done = box.run(extra_groups=[70007, 70008])
    assert done.stdout.split()[1:] == (["70007", "70008"] if kept else [])


def test_a_memory_policy(box: Bundle, ours: None) -> None:
    box.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    assert " bind:0 " in box.output("cat /proc/self/numa_maps").splitlines()[0]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"mode": "MPOL_DEFAULT", "nodes": "0-7"}, "mode requires 0 nodes but got 8"),
        ({"mode": "MPOL_BIND", "nodes": "0-9876543210"}, "invalid memory policy node"),
    ],
)
def test_a_memory_policy_that_can_not_be(
    box: Bundle, ours: None, policy: dict[str, str], words: str
) -> None:
    box.linux["memoryPolicy"] = policy
    assert words in box.run().stderr


def test_an_unknown_memory_policy_is_named(box: Bundle, ours: None) -> None:
    box.linux["memoryPolicy"] = {"mode": "MPOL_BEST"}
    assert "invalid memory policy mode" in box.run().stderr


def test_an_ambient_capability_that_can_not_be_raised_is_told(box: Bundle, ours: None) -> None:
    box.process["capabilities"]["ambient"] = ["CAP_CHOWN"]
    done = box.run()
    assert done.returncode == 0
    assert "can't raise ambient capability CAP_CHOWN" in done.stderr
