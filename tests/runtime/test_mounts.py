"""The container's mounts: what is there, with which options, and who else sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle
from tests.support import eventually


def table(text: str) -> dict[str, list[str]]:
    """Mount point: options of the mount and of its file system, from ``mountinfo``."""
    found = {}
    for line in text.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split()
        found[fields[4]] = fields[5].split(",") + behind.split()[2].split(",")
    return found


def mounted(box: Bundle) -> dict[str, list[str]]:
    return table(box.output("cat /proc/self/mountinfo"))


@pytest.fixture
def source(box: Bundle) -> Path:
    """A directory of the host's with a file."""
    path = box.path / "source"
    path.mkdir()
    (path / "file").write_text("from the host\n")
    return path


@pytest.fixture
def shared(box: Bundle) -> Iterator[Path]:
    """A mount of the host's whose events are shared."""
    path = box.path / "shared"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", str(path)], check=True)
    subprocess.run(["mount", "--make-shared", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-R", str(path)], check=True)


def test_nothing_of_the_host_is_left(box: Bundle) -> None:
    assert set(mounted(box)) == {"/", "/proc", "/dev", "/dev/pts", "/sys"}


def test_options_of_file_systems(box: Bundle) -> None:
    box.mount("/t", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "size=1m", "mode=1711")
    options = mounted(box)["/t"]
    assert {"nosuid", "nodev", "noexec", "size=1024k", "mode=1711"} <= set(options)


def test_read_only_tmpfs_takes_later_mounts(box: Bundle) -> None:
    box.mount("/t", "tmpfs", "tmpfs", "ro")
    box.mount("/t/inner", "tmpfs", "tmpfs")
    script = "touch /t/no 2>/dev/null || echo refused; touch /t/inner/yes && echo made"
    assert box.output(script) == "refused\nmade\n"


def test_tmpfs_keeps_the_mode_of_what_it_hides(box: Bundle) -> None:
    (box.rootfs / "t").mkdir()
    (box.rootfs / "t").chmod(0o750)
    box.mount("/t", "tmpfs", "tmpfs")
    assert box.output("stat -c %a /t") == "750\n"


def test_tmpcopyup(box: Bundle) -> None:
    old = box.rootfs / "old"
    (old / "sub").mkdir(parents=True)
    (old / "sub/file").write_text("kept\n")
    (old / "sub/file").chmod(0o640)
    os.chown(old / "sub/file", 1000, 2000)
    (old / "link").symlink_to("sub/file")
    box.mount("/old", "tmpfs", "tmpfs", "tmpcopyup")
    script = "cat /old/link; stat -c '%a %u %g' /old/sub/file; echo new > /old/sub/file"
    assert box.output(script) == "kept\n640 1000 2000\n"
    assert (old / "sub/file").read_text() == "kept\n"


def test_mqueue(box: Bundle) -> None:
    box.mount("/dev/mqueue", "mqueue", "mqueue", "nosuid")
    assert box.output("stat -f -c %T /dev/mqueue") == "mqueue\n"


def test_bind_of_a_directory_and_a_file(box: Bundle, source: Path) -> None:
    box.bind(source, "/data")
    box.bind(source / "file", "/etc/one")
    assert box.output("cat /data/file /etc/one; echo back > /data/new") == "from the host\n" * 2
    assert (source / "new").read_text() == "back\n"


def test_relative_source_is_the_bundles(box: Bundle, source: Path) -> None:
    box.bind("source", "/data")
    assert box.output("cat /data/file") == "from the host\n"


def test_read_only_bind(box: Bundle, source: Path) -> None:
    box.bind(source, "/data", "ro")
    assert box.output("exec 2>&1; touch /data/x; (echo > /data/file); true").count("Read-only") == 2


def changed(path: Path, words: str) -> None:
    subprocess.run(["mount", "-o", f"remount,bind,{words}", str(path)], check=True)


def test_bind_without_flags_keeps_the_sources(box: Bundle, shared: Path) -> None:
    changed(shared, "ro,nodev,noexec,noatime")
    box.bind(shared, "/data")
    assert {"ro", "nodev", "noexec", "noatime"} <= set(mounted(box)["/data"])


def test_bind_with_a_flag_has_the_flags_given_alone(box: Bundle, shared: Path) -> None:
    changed(shared, "nodev,noexec,noatime")
    box.bind(shared, "/data", "ro")
    options = set(mounted(box)["/data"])
    assert not {"nodev", "noexec"} & options
    # how access times are kept is nothing that the word is about
    assert {"ro", "noatime"} <= options


def test_a_word_that_takes_away_is_a_flag_too(box: Bundle, shared: Path, ours: None) -> None:
    # red with runc before 1.2
    changed(shared, "nodev,noexec")
    box.bind(shared, "/data", "dev")
    assert not {"nodev", "noexec"} & set(mounted(box)["/data"])


def test_bind_with_another_way_of_access_times(box: Bundle, shared: Path) -> None:
    changed(shared, "noatime")
    box.bind(shared, "/data", "nodiratime")
    options = set(mounted(box)["/data"])
    assert "noatime" not in options
    assert {"nodiratime", "relatime"} <= options


def in_user_namespace(box: Bundle) -> None:
    box.namespace("user")
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    box.linux.update(uidMappings=ids, gidMappings=ids)
    for path in (box.path, *box.path.parents[:4]):
        path.chmod(path.stat().st_mode | 0o111)
    subprocess.run(["chown", "-R", "100000:100000", str(box.rootfs)], check=True)


def test_in_a_user_namespace_the_sources_flags_are_locked(
    box: Bundle, shared: Path, ours: None
) -> None:
    in_user_namespace(box)
    changed(shared, "nodev,noexec,noatime")
    box.bind(shared, "/data", "ro")
    assert {"ro", "nodev", "noexec", "noatime"} <= set(mounted(box)["/data"])


@pytest.mark.parametrize("word", ["exec", "relatime"])
def test_in_a_user_namespace_no_word_takes_them_away(
    box: Bundle, shared: Path, ours: None, word: str
) -> None:
    in_user_namespace(box)
    changed(shared, "noexec,noatime")
    box.bind(shared, "/data", word)
    done = box.run()
    assert done.returncode == 1
    assert "error during container init: error mounting" in done.stderr
    assert "operation not permitted" in done.stderr


@pytest.mark.parametrize("user", [False, True])
def test_a_source_that_an_earlier_mount_brought(
    box: Bundle, source: Path, ours: None, user: bool
) -> None:
    if user:
        in_user_namespace(box)
    (source / "inner").mkdir()
    (source / "inner/file").write_text("found\n")
    box.bind(source, "/mnt")
    box.bind(box.rootfs / "mnt/inner", "/again")
    assert box.output("cat /again/file") == "found\n"


def test_explicit_words_take_it_away(box: Bundle, shared: Path) -> None:
    subprocess.run(["mount", "-o", "remount,bind,nodev,noexec", str(shared)], check=True)
    box.bind(shared, "/data", "exec", "nosuid")
    options = set(mounted(box)["/data"])
    assert "noexec" not in options
    assert "nosuid" in options


def inner_mount(source: Path) -> None:
    (source / "inner").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", str(source / "inner")], check=True)


def test_rbind_takes_what_is_mounted_below(box: Bundle, shared: Path) -> None:
    inner_mount(shared)
    box.bind(shared, "/one")
    box.mount("/all", "bind", str(shared), "rbind")
    found = mounted(box)
    assert "/all/inner" in found
    assert "/one/inner" not in found


def test_ro_is_for_the_top_and_rro_for_all(box: Bundle, shared: Path, ours: None) -> None:
    inner_mount(shared)
    box.mount("/ro", "bind", str(shared), "rbind", "ro")
    box.mount("/rro", "bind", str(shared), "rbind", "rro")
    found = mounted(box)
    assert "ro" in found["/ro"]
    assert "ro" not in found["/ro/inner"]
    assert "ro" in found["/rro"]
    assert "ro" in found["/rro/inner"]


@pytest.mark.parametrize("word", ["rnosuid", "rnodev", "rnoexec", "rnoatime"])
def test_recursive_options(box: Bundle, shared: Path, ours: None, word: str) -> None:
    inner_mount(shared)
    box.mount("/all", "bind", str(shared), "rbind", word)
    found = mounted(box)
    assert word[1:] in found["/all"]
    assert word[1:] in found["/all/inner"]


def propagation(box: Bundle, point: str) -> str:
    for line in box.output("cat /proc/self/mountinfo").splitlines():
        fields = line.partition(" - ")[0].split()
        if fields[4] == point:
            return " ".join([field.partition(":")[0] for field in fields[6:]])
    raise AssertionError(f"nothing is mounted at {point}")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("rprivate", ""), ("rslave", "master"), ("slave", "master"), ("rshared", "shared master")],
)
def test_propagation_of_a_volume(box: Bundle, shared: Path, word: str, expected: str) -> None:
    box.bind(shared, "/data", word)
    assert sorted(propagation(box, "/data").split()) == sorted(expected.split())


def test_slave_volume_gets_later_mounts(box: Bundle, shared: Path) -> None:
    box.bind(shared, "/data", "rslave")
    box.running()
    (shared / "later").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "later", str(shared / "later")], check=True)
    assert "/data/later" in table(box.exec("cat", "/proc/self/mountinfo").stdout)


def test_private_volume_gets_none(box: Bundle, shared: Path) -> None:
    box.bind(shared, "/data", "rprivate")
    box.running()
    inner_mount(shared)
    assert "/data/inner" not in table(box.exec("cat", "/proc/self/mountinfo").stdout)


def test_shared_volume_gives_mounts_to_the_host(box: Bundle, shared: Path) -> None:
    box.linux["rootfsPropagation"] = "shared"
    box.process["capabilities"] = {
        kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")
    }
    box.bind(shared, "/data", "rshared")
    box.running("mkdir /data/given; mount -t tmpfs given /data/given && echo ok; sleep 60")
    eventually(lambda: (box.path / "out").read_text() == "ok\n", what="the mount")
    host = table(Path("/proc/thread-self/mountinfo").read_text())
    assert str(shared / "given") in host
    # and nothing else of the container's
    assert not [point for point in host if point.startswith(f"{box.rootfs}/")]


@pytest.mark.parametrize("word", ["private", "slave", "shared", "unbindable"])
def test_propagation_of_the_root(box: Bundle, ours: None, word: str) -> None:
    box.linux["rootfsPropagation"] = word
    found = propagation(box, "/").split()
    assert {
        "private": found == [],
        "slave": "shared" not in found,
        "shared": "shared" in found,
        "unbindable": "unbindable" in found,
    }[word]


def test_mounts_do_not_reach_the_host(box: Bundle) -> None:
    before = Path("/proc/thread-self/mountinfo").read_text()
    box.running()
    assert Path("/proc/thread-self/mountinfo").read_text() == before


def test_read_only_root(box: Bundle) -> None:
    box.config["root"]["readonly"] = True
    script = "touch /x 2>&1; touch /dev/x && echo dev is writable"
    output = box.output(script)
    assert "Read-only" in output
    assert "dev is writable" in output


def test_targets_are_made(box: Bundle, source: Path) -> None:
    box.bind(source, "/a/b/c")
    box.bind(source / "file", "/d/e/f")
    assert box.output("cat /a/b/c/file /d/e/f") == "from the host\n" * 2


def test_links_in_targets_stay_inside(box: Bundle, source: Path) -> None:
    (box.rootfs / "abs").symlink_to("/inner/place")
    (box.rootfs / "rel").symlink_to("../../../inner/other")
    box.bind(source, "/abs")
    box.bind(source, "/rel")
    assert box.output("cat /inner/place/file /inner/other/file") == "from the host\n" * 2
    assert (box.rootfs / "inner/place").is_dir()
    assert not Path("/inner").exists()


def test_destination_with_dots(box: Bundle, source: Path) -> None:
    box.bind(source, "/a/../../../b/./c")
    assert box.output("cat /b/c/file") == "from the host\n"


def test_file_on_a_directory_is_refused(box: Bundle, source: Path) -> None:
    box.bind(source / "file", "/tmp")
    assert box.run().returncode == 1


def test_unknown_file_system(box: Bundle) -> None:
    box.mount("/x", "nonsense-fs")
    done = box.run()
    assert done.returncode == 1
    assert "/x" in done.stderr


def test_unknown_option_of_a_file_system(box: Bundle) -> None:
    box.mount("/x", "tmpfs", "tmpfs", "nonsense=1")
    done = box.run()
    assert done.returncode == 1
    assert "/x" in done.stderr


def test_cgroup_view_without_a_namespace(box: Bundle) -> None:
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev")
    script = (
        "[ -e /sys/fs/cgroup/memory ] && cd /sys/fs/cgroup/memory || cd /sys/fs/cgroup;"
        "cat cgroup.procs; mkdir x 2>/dev/null || echo refused"
    )
    # its own group is the top of what it sees: the only processes are its own
    lines = box.output(script).split()
    assert lines[0] == "1"
    assert lines[-1] == "refused"


def test_cgroup_view_in_a_namespace(box: Bundle) -> None:
    box.namespace("cgroup")
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", "rw", "nosuid", "noexec", "nodev")
    script = (
        "[ -e /sys/fs/cgroup/memory ] && cd /sys/fs/cgroup/memory || cd /sys/fs/cgroup;"
        "head -1 cgroup.procs; mkdir x && echo made; ls -d x"
    )
    assert box.output(script).split() == ["1", "made", "x"]


def test_no_pivot(box: Bundle) -> None:
    box.shell("ls / | head -3; cat /proc/self/mountinfo | wc -l")
    done = box.run("--no-pivot")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bin\ndev\netc\n")


def test_a_destination_may_name_the_root_file_system_as_the_host_does(box: Bundle) -> None:
    (box.rootfs / "mnt").mkdir()
    (box.path / "volume").mkdir()
    (box.path / "volume/file").write_text("seen")
    box.bind(box.path / "volume", f"{box.rootfs}/mnt")
    assert box.output("cat /mnt/file") == "seen"


def test_a_new_tmpfs_is_everybodys_as_tmp_is(box: Bundle, ours: None) -> None:
    box.mount("/fresh", "tmpfs")
    assert box.output("stat -c %a /fresh") == "1777\n"
