"""Namespaces of all kinds: made anew, shared with the host, or joined by path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle

FILES = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt",
         "user": "user", "cgroup": "cgroup", "time": "time"}  # fmt: skip
MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def own(kind: str) -> str:
    return os.readlink(f"/proc/thread-self/ns/{FILES[kind]}")


def of(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def user_namespace(box: Bundle) -> None:
    """Root inside is 100000 outside."""
    box.namespace("user")
    box.linux["uidMappings"] = MAPS
    box.linux["gidMappings"] = MAPS
    os.chown(box.rootfs, 100000, 100000)
    for parent in box.rootfs.parents:
        # the mapped root has to reach its root file system by path
        if parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o055)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "mount", "cgroup"])
def test_new_namespace(box: Bundle, kind: str) -> None:
    box.namespace(kind)
    box.running()
    assert of(box.pid, kind) != own(kind)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "user", "time"])
def test_without_an_entry_the_hosts_is_shared(box: Bundle, kind: str) -> None:
    entries = box.linux["namespaces"]
    box.linux["namespaces"] = [e for e in entries if e["type"] != kind]
    if kind == "uts":
        del box.config["hostname"]
    if kind == "network":  # sysfs shows the namespace, which is not the container's
        box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "sysfs"]
    box.running()
    assert of(box.pid, kind) == own(kind)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts"])
def test_join_by_path(new_bundle: Callable[[], Bundle], kind: str) -> None:
    first, second = new_bundle(), new_bundle()
    first.running()
    second.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    if kind == "uts":
        second.config["hostname"] = "renamed"
    second.running()
    assert of(second.pid, kind) == of(first.pid, kind)
    for other in {"pid", "network", "ipc", "uts"} - {kind}:
        assert of(second.pid, other) != of(first.pid, other)


def test_joined_pid_namespace_is_seen(new_bundle: Callable[[], Bundle]) -> None:
    first, second = new_bundle(), new_bundle()
    first.running("sleep 61")
    second.namespace("pid", f"/proc/{first.pid}/ns/pid")
    assert "sleep 61" in second.output("cat /proc/1/cmdline | tr '\\0' ' '; echo; kill -0 1")


def test_init_is_pid_1(box: Bundle) -> None:
    assert box.output("echo $$") == "1\n"


def test_loopback_is_up(box: Bundle) -> None:
    # IFF_UP | IFF_LOOPBACK | IFF_RUNNING
    assert int(box.output("cat /sys/class/net/lo/flags"), 16) & 1


def test_hostname_and_domainname(box: Bundle) -> None:
    box.config["hostname"] = "my-box"
    assert box.output("hostname; cat /proc/sys/kernel/hostname") == "my-box\nmy-box\n"


def test_domainname(box: Bundle, ours: None) -> None:
    box.config["domainname"] = "example.org"
    assert box.output("cat /proc/sys/kernel/domainname") == "example.org\n"


def test_hostname_without_a_namespace_is_refused(box: Bundle) -> None:
    box.linux["namespaces"] = [e for e in box.linux["namespaces"] if e["type"] != "uts"]
    before = os.uname().nodename
    assert box.run().returncode == 1
    assert os.uname().nodename == before


def test_user_namespace_maps_root(box: Bundle) -> None:
    user_namespace(box)
    done = box.output("id -u; cat /proc/self/uid_map /proc/self/gid_map")
    assert done.split() == ["0", *(["0", "100000", "65536"] * 2)]


def test_user_namespace_owns_the_others(box: Bundle) -> None:
    user_namespace(box)
    box.process["capabilities"] = {
        kind: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"] for kind in ("bounding", "effective", "permitted")
    }
    # needs rights over the uts and mount namespaces
    assert box.output("hostname changed && hostname; mount -t tmpfs x /tmp && echo ok") == (
        "changed\nok\n"
    )


def test_user_namespace_has_devices_and_mounts(box: Bundle) -> None:
    user_namespace(box)
    box.linux["maskedPaths"] = ["/proc/timer_list", "/sys/firmware"]
    box.linux["readonlyPaths"] = ["/proc/sys"]
    source = box.path / "shared"
    source.mkdir(mode=0o755)
    (source / "file").write_text("seen\n")
    box.bind(source, "/data", "ro")
    box.config["root"]["readonly"] = True
    script = (
        "echo x > /dev/null; head -c 1 /dev/zero | wc -c; cat /data/file;"
        "touch /data/no 2>/dev/null || echo refused;"
        "touch /no 2>/dev/null || echo refused; wc -c < /proc/timer_list"
    )
    assert box.output(script).split() == ["1", "seen", "refused", "refused", "0"]


def test_user_namespace_is_joined_by_exec(box: Bundle) -> None:
    user_namespace(box)
    box.running()
    done = box.exec("sh", "-c", "id -u; readlink /proc/self/ns/user")
    assert done.stdout.split() == ["0", of(box.pid, "user")], done.stderr
    assert of(box.pid, "user") != own("user")


def test_join_a_user_namespace(new_bundle: Callable[[], Bundle], ours: None) -> None:
    first, second = new_bundle(), new_bundle()
    for box in (first, second):
        user_namespace(box)
    first.running()
    for kind in ("user", "network", "ipc", "uts"):
        second.namespace(kind, f"/proc/{first.pid}/ns/{FILES[kind]}")
    del second.linux["uidMappings"], second.linux["gidMappings"]
    second.running()
    for kind in ("user", "network", "ipc", "uts"):
        assert of(second.pid, kind) == of(first.pid, kind)
    assert of(second.pid, "pid") != of(first.pid, "pid")
    assert second.exec("id", "-u").stdout == "0\n"


def test_user_namespace_without_maps_is_refused(box: Bundle) -> None:
    box.namespace("user")
    assert box.run().returncode == 1


def test_oom_score_in_a_user_namespace(box: Bundle) -> None:
    user_namespace(box)
    box.process["oomScoreAdj"] = 300
    assert box.output("cat /proc/self/oom_score_adj") == "300\n"


def test_time_offsets(box: Bundle, ours: None) -> None:
    box.namespace("time")
    box.linux["timeOffsets"] = {"monotonic": {"secs": 1000000}, "boottime": {"secs": 2000000}}
    lines = box.output("cat /proc/self/timens_offsets /proc/uptime").splitlines()
    assert lines[0].split() == ["monotonic", "1000000", "0"]
    assert lines[1].split() == ["boottime", "2000000", "0"]
    assert float(lines[2].split()[0]) > 2000000


def test_time_and_user_namespace(box: Bundle, ours: None) -> None:
    user_namespace(box)
    box.namespace("time")
    box.linux["timeOffsets"] = {"boottime": {"secs": 2000000}}
    box.running()
    assert of(box.pid, "time") != own("time")
    assert "2000000" in box.exec("cat", "/proc/self/timens_offsets").stdout


def test_cgroup_namespace_hides_the_path(box: Bundle) -> None:
    box.namespace("cgroup")
    assert box.id not in box.output("cat /proc/self/cgroup")


def test_path_that_is_no_namespace(box: Bundle) -> None:
    box.namespace("network", "/proc/self/status")
    assert box.run().returncode == 1


def test_path_of_another_kind(box: Bundle) -> None:
    box.namespace("network", "/proc/self/ns/uts")
    assert box.run().returncode == 1


@pytest.mark.parametrize("entries", [[{"type": "nonsense"}], [{"type": "pid"}, {"type": "pid"}]])
def test_malformed_namespaces(box: Bundle, entries: list[dict[str, str]]) -> None:
    box.linux["namespaces"] += entries
    assert box.run().returncode == 1


def test_sysctl_of_a_namespace(box: Bundle) -> None:
    before = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    box.linux["sysctl"] = {
        "net.ipv4.ip_unprivileged_port_start": "77",
        "kernel.shm_rmid_forced": "1",
    }
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert box.output(script) == "77\n1\n"
    assert Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text() == before


@pytest.mark.parametrize("name", ["kernel.panic", "vm.swappiness", "net.ipv4.ip_forward"])
def test_sysctl_of_the_host_is_refused(box: Bundle, name: str) -> None:
    # also one of a namespace that is shared with the host
    box.linux["namespaces"] = [e for e in box.linux["namespaces"] if e["type"] != "network"]
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "sysfs"]
    path = Path("/proc/sys") / name.replace(".", "/")
    before = path.read_text()
    box.linux["sysctl"] = {name: str(int(before) + 1)}
    assert box.run().returncode == 1
    assert path.read_text() == before


def test_without_a_mount_namespace_the_hosts_is_shared(box: Bundle, ours: None) -> None:
    """Everything mounted lies on the host's tree below the root file system, and goes with the
    container."""
    box.linux["namespaces"] = [n for n in box.linux["namespaces"] if n["type"] != "mount"]
    box.running("readlink /proc/self/ns/mnt; ls /; sleep 60")
    assert str(Path("/proc/thread-self/ns/mnt").readlink()) == str(
        Path(f"/proc/{box.pid}/ns/mnt").readlink()
    )
    assert f"{box.rootfs}/proc" in Path("/proc/thread-self/mountinfo").read_text()
    assert "etc" in box.exec("ls", "/").stdout.split()
    assert "home" not in box.exec("ls", "/root").stdout.split()
    box.delete()
    assert str(box.rootfs) not in Path("/proc/thread-self/mountinfo").read_text()


def test_a_failed_start_without_a_mount_namespace_leaves_no_mount(box: Bundle, ours: None) -> None:
    box.linux["namespaces"] = [n for n in box.linux["namespaces"] if n["type"] != "mount"]
    box.process["args"] = ["/nowhere"]
    assert box.run().returncode == 1
    assert str(box.rootfs) not in Path("/proc/thread-self/mountinfo").read_text()
