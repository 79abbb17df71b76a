"""Command line arguments, users, sysctl keys, overlay options, look-ups, plans."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten import errors
from corten.oci.cliargs import MANY, SWITCH, VALUE, parse
from corten.oci.identity import parse_cpu_list
from corten.oci.lookup import find_program, search_path
from corten.oci.plan import PlanOptions, compile_plan
from corten.oci.records import Record, check_id
from corten.oci.rootfs import shorten_layers
from corten.oci.signals import number_of
from corten.oci.sysctl import key_to_path
from corten.oci.users import resolve
from corten.spec.mount import Mount
from corten.spec.runtime import User

OPTIONS = {"bundle": VALUE, "detach": SWITCH, "env": MANY}
SHORT = {"b": "bundle", "e": "env", "d": "detach"}


@pytest.mark.parametrize(
    "argv",
    [["--bundle", "x", "id"], ["-b", "x", "id"], ["--bundle=x", "id"], ["id", "-bundle", "x"]],
)
def test_options_in_all_forms(argv: list[str]) -> None:
    args = parse(argv, OPTIONS, short=SHORT)
    assert args.text("bundle") == "x"
    assert args.words == ["id"]


def test_a_programs_own_options_are_its_own() -> None:
    args = parse(["-d", "id", "ls", "-d", "--bundle"], OPTIONS, short=SHORT, until_word=True)
    assert args.switch("detach")
    assert args.words == ["id", "ls", "-d", "--bundle"]


def test_repeated_options() -> None:
    assert parse(["-e", "A=1", "--env=B=2"], OPTIONS, short=SHORT).many("env") == ["A=1", "B=2"]


def test_switch_with_a_value() -> None:
    assert not parse(["--detach=false"], OPTIONS).switch("detach")


@pytest.mark.parametrize("argv", [["--nonsense"], ["--bundle"], ["-x"]])
def test_bad_options(argv: list[str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        parse(argv, OPTIONS, short=SHORT)


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("SIGKILL", 9), ("sigusr1", 10), ("9", 9),
     ("RTMIN+3", signal.SIGRTMIN + 3), ("SIGRTMAX-2", signal.SIGRTMAX - 2)],
)  # fmt: skip
def test_signals(text: str, number: int) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["", "NONSENSE", "65", "TERM+1", "_DFL", "RTMIN+99", "-1"])
def test_unknown_signals(text: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        number_of(text)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
    ],
)
def test_sysctl_keys(key: str, path: str) -> None:
    assert key_to_path(key) == path


@pytest.mark.parametrize("key", ["", "net/../kernel/panic", "net..x", "/kernel/panic", "net/./x"])
def test_sysctl_keys_that_leave_their_directory(key: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        key_to_path(key)


def test_layers_become_relative() -> None:
    data = "lowerdir=/s/o/2/fs:/s/o/1/fs,upperdir=/s/o/3/fs,workdir=/s/o/3/work,index=off"
    assert shorten_layers(data) == (
        "/s/o",
        "lowerdir=2/fs:1/fs,upperdir=3/fs,workdir=3/work,index=off",
    )


@pytest.mark.parametrize("data", ["lowerdir=/a:/b", "lowerdir=a:b", "lowerdir=/s/a\\:b:/s/c", ""])
def test_layers_that_stay(data: str) -> None:
    assert shorten_layers(data) == ("", data)


def test_a_single_layer_keeps_its_name() -> None:
    assert shorten_layers("lowerdir=/s/one") == ("/s", "lowerdir=one")


@pytest.fixture
def etc(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:r:/root:/bin/sh\nbad line\nweird:x:abc:1::/:\nann:x:1000:100::/home/ann:\n"
        "2000:x:5:6::/five:\n"
    )
    (tmp_path / "etc/group").write_text("staff:x:50:ann,root\nann:x:100:\nodd:x:x:ann\n")
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ann", (1000, 100, (100, 50), "/home/ann")),
        ("1000", (1000, 100, (100, 50), "/home/ann")),
        ("ann:staff", (1000, 50, (50,), "/home/ann")),
        ("", (0, 0, (0, 50), "/root")),
        (":staff", (0, 50, (50,), "/root")),
        ("77", (77, 0, (0,), "/")),
        ("77:88", (77, 88, (88,), "/")),
        ("2000", (5, 6, (6,), "/five")),  # a login name that is a number
    ],
)
def test_users(etc: int, name: str, expected: tuple[Any, ...]) -> None:
    got = resolve(User(username=name), etc)
    assert (got.uid, got.gid, got.groups, got.home) == expected


@pytest.mark.parametrize("name", ["bob", "ann:nogroup", "weird", "-1", "4294967295", "1e3"])
def test_unknown_users(etc: int, name: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        resolve(User(username=name), etc)


@pytest.mark.parametrize(
    ("name", "policy", "groups"),
    [
        ("1000", "strict", (100,)),
        ("1000:70", "strict", (70,)),
        ("1000:70", "merge", (70, 50)),
        ("1000:70", "", (70,)),
        ("1000", "", (100, 50)),
    ],
)
def test_groups_of_the_image_are_taken_as_the_policy_says(
    etc: int, name: str, policy: str, groups: tuple[int, ...]
) -> None:
    user = User(username=name, group_names=("4000",), groups_policy=policy)
    assert resolve(user, etc).groups == (*groups, 4000)


def test_numbers_are_taken_as_they_are(etc: int) -> None:
    got = resolve(User(uid=1000, gid=7, additional_gids=(9,)), etc)
    assert (got.uid, got.gid, got.groups, got.home) == (1000, 7, (9,), "/home/ann")


def test_no_files_at_all(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    assert resolve(User(username="5"), root).uid == 5
    os.close(root)


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-2,7") == {0, 1, 2, 7}
    with pytest.raises(errors.InvalidArgument):
        parse_cpu_list("0-x")


def test_search_path() -> None:
    assert search_path(("PATH=/a", "PATH=/b")) == "/b"
    assert "/usr/bin" in search_path(())


def test_programs(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "good").touch(0o755)
    env = (f"PATH=/nowhere:{tmp_path}",)
    assert find_program("good", env) == f"{tmp_path}/good"
    with pytest.raises(errors.ProgramNotFound, match="executable file not found in"):
        find_program("missing", env)
    with pytest.raises(errors.ProgramNotExecutable, match="permission denied"):
        find_program("plain", env)
    with pytest.raises(errors.ProgramNotFound, match="no such file"):
        find_program("/missing/x", env)
    with pytest.raises(errors.ProgramNotExecutable, match="is a directory"):
        find_program(str(tmp_path), env)


def test_ids() -> None:
    check_id("a-b_c.d+e0")
    for bad in ("", "a/b", "..", ".", "a b", "x" * 1025):
        with pytest.raises(errors.InvalidArgument):
            check_id(bad)


def test_an_id_is_claimed_once(tmp_path: Path) -> None:
    record = Record.claim(str(tmp_path), "one")
    with pytest.raises(errors.AlreadyExists):
        Record.claim(str(tmp_path), "one")
    assert Record.find(str(tmp_path), "one").status() == "creating"
    record.close()
    # its maker is gone without a word: what is left can be deleted
    assert Record.find(str(tmp_path), "one").status() == "stopped"
    Record.find(str(tmp_path), "one", lock=True).remove()
    with pytest.raises(errors.NotFound):
        Record.find(str(tmp_path), "one")


def config(**members: Any) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"args": ["true"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
        **members,
    }


def plan(document: dict[str, Any], **keywords: Any) -> Any:
    options = PlanOptions(container_id="x", seccomp_cache="")
    return compile_plan(document, bundle="/bundle", options=options, **keywords)


def test_plan_describes_itself() -> None:
    lines = plan(config(mounts=[{"destination": "/p", "type": "proc"}])).describe()
    assert "mount proc at /p flags=0x0" in lines
    assert "pivot_root" in lines
    assert lines[-1] == "execute true in /"


def test_mounts_of_the_engine_make_the_root() -> None:
    overlay = Mount(type="overlay", source="overlay", options=("lowerdir=/a",))
    compiled = plan(config(), rootfs_mounts=(overlay,))
    assert not compiled.bind_root
    assert "overlay" in compiled.root_steps[1].describe()
    assert plan(config()).bind_root


def test_cgroup_view_and_what_is_on_it_come_last() -> None:
    mounts = [
        {"destination": "/sys", "type": "sysfs"},
        {"destination": "/sys/fs/cgroup", "type": "cgroup"},
        {"destination": "/sys/fs/cgroup/own", "type": "bind", "source": "/x"},
        {"destination": "/data", "type": "bind", "source": "/y"},
    ]
    compiled = plan(config(mounts=mounts))
    assert [s.destination for s in compiled.cgroup_steps] == [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/own",
    ]
    assert 'mounting "/y" to rootfs at "/data"' in [s.name for s in compiled.steps]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"process": None}, "process is missing"),
        ({"root": {"path": "/"}}, "host's root"),
        ({"root": None}, "root.path"),
        ({"mounts": [{"destination": "/x", "type": "bind"}]}, "no source"),
        ({"mounts": [{"destination": "/x"}]}, "no type"),
        (
            {"mounts": [{"destination": "/x", "type": "proc", "options": ["tmpcopyup"]}]},
            "tmpcopyup",
        ),
        ({"linux": {"namespaces": [{"type": "mount"}], "sysctl": {"vm.x": "1"}}}, "no namespace"),
        (
            {"linux": {"namespaces": [{"type": "mount"}], "sysctl": {"net.x": "1"}}},
            "needs a network namespace",
        ),
    ],
)
def test_plans_that_make_no_sense(change: dict[str, Any], text: str) -> None:
    with pytest.raises(errors.CortenError, match=text):
        plan(config(**change))


def test_devices_of_the_cgroup_begin_with_nothing() -> None:
    rules = plan(config()).resources["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "c", "access": "rwm", "major": 1, "minor": 3} in rules


def test_errors_keep_step_path_and_number() -> None:
    from corten.oci.failure import failed

    error = failed("mount x", OSError(30, "Read-only file system", "/a"))
    assert (error.code, error.path, error.errno) == ("permission_denied", "/a", 30)
    hidden = failed("mount x", OSError(30, "Read-only file system", "/proc/self/fd/7"))
    assert hidden.path == ""
