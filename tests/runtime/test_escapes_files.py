"""Published escapes by way of files and mounts, and the calls that kernel exploits begin with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten.oci.seccomp.profile import resolve_default
from tests.runtime.harness import CAPABILITIES, Bundle
from tests.runtime.test_process import fields
from tests.support import eventually


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_cve_2019_18837_a_mount_point_behind_a_link(box: Bundle, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (box.rootfs / "way").symlink_to(outside)
    (box.rootfs / "climb").symlink_to(f"{'../' * 12}{outside}")
    for link in ("way", "climb"):
        box.mount(f"/{link}/made/deep", kind, "/usr", *(["bind"] if kind == "bind" else []))
    box.run()
    assert list(outside.iterdir()) == []


def test_cve_2023_28642_masks_follow_a_procfs_that_lies_elsewhere(box: Bundle) -> None:
    (box.rootfs / "proc").rmdir()
    (box.rootfs / "other").mkdir()
    (box.rootfs / "proc").symlink_to("other")
    mounts = [m for m in box.config["mounts"] if m["destination"] != "/proc"]
    proc = {"destination": "/other", "type": "proc", "source": "proc"}
    box.config["mounts"] = [proc, *mounts]
    box.linux["maskedPaths"] = ["/proc/uptime"]
    box.linux["readonlyPaths"] = ["/proc/sys"]
    box.shell("cat /other/uptime; echo here; echo x > /other/sys/kernel/domainname || echo refused")
    done = box.run()
    # refused as a whole, or masked where it is
    assert done.returncode or done.stdout == "here\nrefused\n"


def test_cve_2025_52881_a_volume_below_proc_gets_no_writes(box: Bundle) -> None:
    fake = box.path / "fake"
    fake.mkdir()
    (fake / "ip_forward").write_text("untouched")
    (fake / "ping_group_range").symlink_to("/proc/sysrq-trigger")
    box.bind(fake, "/proc/sys/net/ipv4")
    box.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "0 0"}
    box.run()
    assert (fake / "ip_forward").read_text() == "untouched"


def test_cve_2025_52881_an_exec_writes_to_no_false_proc(box: Bundle) -> None:
    box.process["capabilities"] = {
        kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")
    }
    script = "mount -t tmpfs x /proc; mkdir -p /proc/self; echo -n untouched > /proc/self/"
    box.running(f"{script}oom_score_adj; echo done; sleep 60")
    eventually(lambda: "done" in box.said(), what="the false procfs")
    process = {
        "args": ["cat", "/proc/self/oom_score_adj"],
        "cwd": "/",
        "env": ["PATH=/usr/bin"],
        "oomScoreAdj": 100,
    }
    path = box.path / "process.json"
    path.write_text(json.dumps(process))
    done = box.runtime("exec", "--process", str(path), box.id)
    # what can't be written is an error, never a success that changed something else
    assert done.returncode or done.stdout == "untouched"


@pytest.mark.parametrize("inside", ["init", "exec"])
def test_cve_2022_27650_nothing_is_inheritable(box: Bundle, inside: str) -> None:
    if inside == "init":
        status = fields(box.output("cat /proc/self/status"))
    else:
        box.running()
        status = fields(box.exec("cat", "/proc/self/status").stdout)
    assert int(status["CapInh"], 16) == 0


# x86-64's numbers; each with arguments that would succeed or fail with something else than EPERM
FIRST_CALLS = {
    "fsopen (CVE-2022-0185)": (430, b"tmpfs", 0),
    "unshare of a user namespace": (272, 0x10000000, 0),
    "mount": (165, 0, 0),
    "bpf (CVE-2021-3490)": (321, 0, 0),
    "userfaultfd": (323, 0, 0),
    "add_key (CVE-2016-0728)": (248, 0, 0),
    "open_by_handle_at (shocker)": (304, -100, 0),
    "init_module": (175, 0, 0),
    "perf_event_open": (298, 0, 0),
    "io_uring_setup": (425, 8, 0),
}
CALLS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for name, (number, one, two) in {calls!r}.items():
    ctypes.set_errno(0)
    libc.syscall(number, one, two, 0, 0, 0)
    if ctypes.get_errno() != errno.EPERM:
        print(name, os.strerror(ctypes.get_errno()))
"""


def test_cve_2022_0185_and_others_begin_with_calls_that_are_refused(box: Bundle) -> None:
    box.linux["seccomp"] = resolve_default(CAPABILITIES)
    box.probe(CALLS.format(calls=FIRST_CALLS))
    assert box.output() == ""
