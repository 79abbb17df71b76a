"""Device nodes, links in /dev, masked and read-only paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle

DEFAULTS = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9",
            "tty": "5:0"}  # fmt: skip


# opening it for writing needs no capability, so only the cgroup can refuse it
KMSG = "exec 2>&1; mknod /tmp/kmsg c 1 11 && echo made; (: > /tmp/kmsg) && echo opened; true"


def without_dev(box: Bundle) -> None:
    """Leave the image's own ``/dev`` as it is."""
    mounts = box.config["mounts"]
    box.config["mounts"] = [m for m in mounts if not m["destination"].startswith("/dev")]


def test_default_devices(box: Bundle) -> None:
    lines = box.output(f"cd /dev; stat -c '%n %F %a %Hr:%Lr' {' '.join(DEFAULTS)}").splitlines()
    assert lines == [f"{name} character special file 666 {n}" for name, n in DEFAULTS.items()]


def test_default_devices_work(box: Bundle) -> None:
    script = "echo x > /dev/null; head -c 2 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c"
    assert box.output(script) == "2\n3\n"


def test_links(box: Bundle) -> None:
    script = "cd /dev; for l in fd stdin stdout stderr ptmx; do readlink $l; done"
    assert box.output(script).split() == [
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx",
    ]  # fmt: skip


def test_own_devices(box: Bundle) -> None:
    box.linux["devices"] = [
        {"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640,
         "uid": 1000, "gid": 2000},
        {"path": "/dev/dir/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o600},
        {"path": "/run/pipe", "type": "p", "fileMode": 0o622},
    ]  # fmt: skip
    script = "stat -c '%F %a %u %g %Hr:%Lr' /dev/own /dev/dir/block; stat -c '%F %a' /run/pipe"
    assert box.output(script).splitlines() == [
        "character special file 640 1000 2000 1:3",
        "block special file 600 0 0 7:0",
        "fifo 622",
    ]


def test_default_device_with_another_mode(box: Bundle) -> None:
    box.linux["devices"] = [
        {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600}
    ]
    assert box.output("stat -c %a /dev/zero") == "600\n"


def test_device_of_the_image_is_not_trusted(box: Bundle) -> None:
    # without a tmpfs the image's own /dev is used: what is no device there becomes one
    box.config["mounts"] = [
        m for m in box.config["mounts"] if not m["destination"].startswith("/dev")
    ]
    (box.rootfs / "dev/null").write_text("a trap\n")
    (box.rootfs / "dev/zero").symlink_to("/etc/passwd")
    script = "stat -c '%F' /dev/null /dev/zero"
    if box.runtime.own:
        assert box.output(script) == "character special file\n" * 2
    assert "root:" in (box.rootfs / "etc/passwd").read_text()


def test_bind_of_dev_is_left_alone(box: Bundle, ours: None) -> None:
    source = box.path / "dev"
    source.mkdir()
    (source / "mine").touch()
    box.config["mounts"] = [
        m for m in box.config["mounts"] if not m["destination"].startswith("/dev")
    ]
    box.bind(source, "/dev")
    assert box.output("ls /dev") == "mine\n"


@pytest.mark.parametrize(
    "device", [{"type": "x", "path": "/dev/a"}, {"type": "c", "path": "dev/a"}]
)
def test_malformed_devices(box: Bundle, ours: None, device: dict[str, str]) -> None:
    box.linux["devices"] = [device]
    assert box.run().returncode == 1


def test_other_devices_are_out_of_reach(box: Bundle) -> None:
    box.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    output = box.output(KMSG)
    assert output.startswith("made\n")
    assert "Operation not permitted" in output


def test_allowed_device(box: Bundle) -> None:
    box.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"},
        ]
    }
    assert box.output(KMSG) == "made\nopened\n"


def test_devices_without_rules_are_refused_too(box: Bundle) -> None:
    assert "Operation not permitted" in box.output(KMSG)


# --- masked and read-only paths ------------------------------------------------------------


def test_masked_file_is_empty_and_dead(box: Bundle) -> None:
    (box.rootfs / "etc/secret").write_text("secret\n")
    box.linux["maskedPaths"] = ["/etc/secret", "/proc/timer_list"]
    script = "wc -c < /etc/secret; stat -c '%F %Hr:%Lr' /etc/secret; wc -c < /proc/timer_list"
    assert box.output(script) == "0\ncharacter special file 1:3\n0\n"
    assert (box.rootfs / "etc/secret").read_text() == "secret\n"


def test_masked_directories_are_empty_and_read_only(box: Bundle) -> None:
    box.linux["maskedPaths"] = ["/home/user", "/sys/firmware", "/home"]
    (box.rootfs / "home/user/file").touch()
    box.linux["maskedPaths"] = ["/home/user", "/sys/firmware"]
    script = "ls -A /home/user /sys/firmware | grep -v :; touch /home/user/x 2>&1; true"
    output = box.output(script)
    assert "file" not in output.replace("file system", "")
    assert "Read-only" in output


def test_missing_masked_path_is_no_error(box: Bundle, ours: None) -> None:
    box.linux["maskedPaths"] = ["/proc/nothing", "/etc/passwd/below"]
    box.linux["readonlyPaths"] = ["/proc/nothing"]
    box.output("true")


def test_read_only_paths(box: Bundle) -> None:
    box.linux["readonlyPaths"] = ["/proc/sys", "/etc", "/etc/passwd"]
    script = (
        "exec 2>&1; (echo x > /proc/sys/kernel/hostname); touch /etc/x; (echo > /etc/passwd); true"
    )
    assert box.output(script).count("Read-only") == 3


def test_read_only_path_keeps_other_attributes(box: Bundle) -> None:
    box.mount("/t", "tmpfs", "tmpfs", "nosuid", "noexec")
    box.linux["readonlyPaths"] = ["/t"]
    lines = [
        line.split() for line in box.output("cat /proc/self/mountinfo").splitlines()
        if line.split()[4] == "/t"
    ]  # fmt: skip
    assert {"ro", "nosuid", "noexec"} <= set(lines[-1][5].split(","))


def test_mask_through_a_link_masks_its_target(box: Bundle) -> None:
    (box.rootfs / "etc/secret").write_text("secret\n")
    (box.rootfs / "etc/link").symlink_to("/etc/secret")
    box.linux["maskedPaths"] = ["/etc/link"]
    assert box.output("wc -c < /etc/secret") == "0\n"


def test_mode_of_the_hosts_null_device_is_safe(box: Bundle) -> None:
    # the mask is the container's own node: what root does to it stays inside
    box.linux["maskedPaths"] = ["/proc/timer_list"]
    box.output("chmod 000 /proc/timer_list /dev/null 2>/dev/null; true")
    assert stat.S_IMODE(Path("/dev/null").stat().st_mode) == 0o666


def test_nodes_in_a_user_namespace_are_the_containers_own(box: Bundle, ours: None) -> None:
    box.namespace("user")
    maps = [{"containerID": 0, "hostID": 200_000, "size": 1000}]
    box.linux["uidMappings"] = box.linux["gidMappings"] = maps
    os.chown(box.rootfs, 200_000, 200_000)
    box.linux["devices"] = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "uid": 7, "gid": 8,
         "fileMode": 0o640},
    ]  # fmt: skip
    box.linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    script = "stat -c '%n %u:%g %a %t:%T' /dev/mine /dev/null; head -c 2 /dev/mine | od -An -tx1"
    assert box.output(script).splitlines() == [
        "/dev/mine 7:8 640 1:5",
        "/dev/null 0:0 666 1:3",
        " 00 00",
    ]
    options = [line.split()[5] for line in box.output("cat /proc/self/mountinfo").splitlines()
               if line.split()[4] in ("/dev/null", "/dev/mine")]  # fmt: skip
    assert len(options) == 2
    assert all({"nosuid", "noexec"} <= set(words.split(",")) for words in options)
