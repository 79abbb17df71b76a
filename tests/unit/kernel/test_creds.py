"""Capabilities, ids, limits, namespaces of the caller: each in a process of its own."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from corten.kernel import creds, limits, namespaces
from tests.unit.kernel.isolated import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_capabilities_are_what_procfs_says() -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    masks = [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh")]
    assert list(creds.capget()) == masks


def test_the_table_ends_where_the_kernel_does() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert creds.bounding_has(last) in (True, False)
    assert len(creds.CAPABILITIES) <= last + 1
    with pytest.raises(OSError, match="prctl"):
        creds.bounding_has(63)


@needs_root
def test_dropping_everything_and_becoming_somebody() -> None:
    out = run(
        """
        import os
        from corten.kernel import creds
        net_bind = 1 << creds.CAPABILITY_NUMBERS["CAP_NET_BIND_SERVICE"]
        creds.bounding_drop(creds.CAPABILITY_NUMBERS["CAP_SYS_ADMIN"])
        creds.set_keepcaps(True)
        creds.setgroups([7, 8])
        creds.setresgid(1234)
        creds.setresuid(2345)
        creds.capset(net_bind, net_bind, net_bind)
        creds.ambient_clear()
        creds.ambient_raise(10)
        creds.set_no_new_privs()
        status = open("/proc/self/status").read()
        names = ("Uid", "Gid", "Groups", "CapEff", "CapAmb", "NoNewPrivs")
        print([line.split()[1:] for line in status.splitlines() if line.split(":")[0] in names])
        print(creds.bounding_has(21), creds.capget() == (net_bind,) * 3)
        """
    )
    first, second = out.splitlines()
    mask = f"{1 << 10:016x}"
    assert first == str([["2345"] * 4, ["1234"] * 4, ["7", "8"], [mask], [mask], ["1"]])
    assert second == "False True"


def test_dumpable_and_name() -> None:
    out = run(
        """
        from corten.kernel import creds
        creds.set_dumpable(False)
        creds.set_name("a-name-that-is-long")
        print(creds.get_dumpable(), open("/proc/thread-self/comm").read().strip())
        """
    )
    assert out == "0 a-name-that-is-"


def test_session_keyring() -> None:
    out = run(
        """
        from corten.kernel import creds
        serial = creds.join_session_keyring("corten-test")
        print(creds.keyring_describe(serial).split(";")[0::4])
        """
    )
    assert out == "['keyring', 'corten-test']"


def test_rlimits() -> None:
    for name, number in limits.RLIMITS.items():
        if hasattr(resource, name):
            assert getattr(resource, name) == number
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limits.getrlimit(limits.RLIMITS["RLIMIT_NOFILE"]) == (soft, hard)
    out = run(
        """
        from corten.kernel import limits
        limits.setrlimit(limits.RLIMITS["RLIMIT_NOFILE"], 64, 128)
        print(*limits.getrlimit(7))
        """
    )
    assert out == "64 128"


def test_scheduling() -> None:
    out = run(
        """
        import posix
        from corten.kernel import limits
        limits.sched_setattr(limits.SCHED_POLICIES["SCHED_BATCH"], nice=5)
        limits.set_ioprio(limits.IOPRIO_CLASSES["IOPRIO_CLASS_BE"], 6)
        limits.set_mempolicy(limits.MEMORY_POLICIES["MPOL_BIND"], (0,))
        print(posix.sched_getscheduler(0), posix.getpriority(posix.PRIO_PROCESS, 0))
        print(limits.personality(limits.PERSONALITIES["LINUX32"]))
        print(limits.personality(0), "bind:0" in open("/proc/self/numa_maps").read())
        """
    )
    assert out.split() == ["3", "5", "0", "8", "True"]


def test_namespace_descriptors() -> None:
    one = namespaces.open_namespace("network")
    other = namespaces.open_namespace("network", os.getpid())
    mount = namespaces.open_namespace("mount")
    try:
        assert namespaces.namespace_type(one) == namespaces.CLONE_NEWNET
        assert namespaces.same(one, other)
        assert not namespaces.same(one, mount)
    finally:
        for fd in (one, other, mount):
            os.close(fd)
