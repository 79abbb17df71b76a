"""clone3, pidfds, waiting, memfds."""

from __future__ import annotations

import os
import sys

import pytest

from corten.kernel import process
from tests.unit.kernel.isolated import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_a_clone_is_a_python_process_as_after_fork() -> None:
    out = run(
        """
        import os, _thread
        from corten.kernel import process
        ran = []
        os.register_at_fork(before=lambda: ran.append("before"),
                            after_in_parent=lambda: ran.append("parent"),
                            after_in_child=lambda: ran.append("child"))
        reader, writer = os.pipe()
        pid, pidfd = process.clone3()
        if pid == 0:
            import array  # the import lock works
            lock = _thread.allocate_lock()
            _thread.start_new_thread(lock.acquire, ())
            said = " ".join(ran).encode()
            assert pidfd == -1
            inner = os.fork()
            if inner == 0:
                os._exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) == 3
            os.write(writer, said)
            os._exit(7)
        assert process.pid_of(pidfd) == pid
        print(process.wait_pidfd(pidfd), "|", " ".join(ran), "|", os.read(reader, 100).decode())
        """
    )
    assert out == "7 | before parent | before child"


def test_a_clone_that_the_kernel_refuses_leaves_the_parent_whole() -> None:
    out = run(
        """
        import os
        from corten.kernel import process, namespaces
        try:
            process.clone3(cgroup_fd=os.open("/", os.O_RDONLY))
        except OSError as error:
            print(error.errno)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        """
    )
    assert out.split() == ["9", "0"]  # EBADF


def test_wait_counts_signals_as_a_shell_does() -> None:
    out = run(
        """
        import os
        from corten.kernel import process
        pid, pidfd = process.clone3()
        if pid == 0:
            import _signal
            while True: _signal.pause()
        print(process.wait_pidfd(pidfd, block=False))
        process.pidfd_send_signal(pidfd, 15)
        print(process.wait_pidfd(pidfd, reap=False), process.wait_pidfd(pidfd))
        try:
            process.wait_pidfd(pidfd)
        except ChildProcessError:
            print("reaped")
        """
    )
    assert out.split() == ["None", "143", "143", "reaped"]


def test_start_time_survives_a_hostile_name() -> None:
    mine = process.start_time(os.getpid())
    assert mine == process.start_time(os.getpid()) > 0
    out = run(
        """
        import os
        from corten.kernel import creds, process
        before = process.start_time(os.getpid())
        creds.set_name("a) R 1 (")
        print(process.start_time(os.getpid()) == before)
        """
    )
    assert out == "True"
    with pytest.raises(FileNotFoundError):
        process.start_time(2**22 + 1)


def test_execve_keeps_argv_and_environment() -> None:
    out = run(
        """
        from corten.kernel import process
        process.execve("/bin/sh", [b"name", b"-c", b'echo "$0 $1 $A"', b"zero", b"one"], [b"A=b c"])
        """
    )
    assert out == "zero one b c"


def test_a_memfd_that_is_not_sealed_is_refused() -> None:
    sealed = process.memfd("x", b"content")
    open_one = process.memfd("x", b"content", seal=False)
    try:
        assert process.read_memfd(sealed) == b"content"
        with pytest.raises(OSError, match="Operation not permitted"):
            os.write(sealed, b"other")
        with pytest.raises(PermissionError, match="not sealed"):
            process.read_memfd(open_one)
        with pytest.raises(OSError, match="limit is 3"):
            process.read_memfd(sealed, limit=3)
        assert not os.get_inheritable(sealed)
    finally:
        os.close(sealed)
        os.close(open_one)


def test_close_range_closes_and_marks() -> None:
    out = run(
        """
        import os
        from corten.kernel import process
        for fd in (50, 51, 52):
            os.dup2(1, fd)
        process.close_range(51, 51)
        process.close_range(52, 52, process.CLOSE_RANGE_CLOEXEC)
        open_fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        print(50 in open_fds, 51 in open_fds, os.get_inheritable(52))
        """
    )
    assert out == "True False False"


@needs_root
def test_a_clone_is_born_in_new_namespaces() -> None:
    out = run(
        """
        import os
        from corten.kernel import namespaces as ns, netlink, process
        pid, pidfd = process.clone3(ns.CLONE_NEWPID | ns.CLONE_NEWUTS | ns.CLONE_NEWNET)
        if pid == 0:
            ns.sethostname("inside")
            netlink.set_link_up("lo")
            flags = netlink.route_socket()
            print(os.getpid(), os.uname().nodename, flush=True)
            from _socket import socket
            probe = socket()
            probe.bind(("127.0.0.1", 0))
            probe.listen(1)
            socket().connect(probe.getsockname())
            os._exit(0)
        print(process.wait_pidfd(pidfd), os.uname().nodename != "inside")
        """
    )
    assert out.split() == ["1", "inside", "0", "True"]


def test_a_signal_that_posix_spawn_leaves_ignored_is_default_again() -> None:
    reader, writer = os.pipe()
    program = (
        "import sys; sys.path.insert(0, 'src'); from corten.kernel.process import default_signal;"
        "show = lambda: open('/proc/self/status').read().partition('SigIgn:')[2].split()[0];"
        "before = show(); default_signal(32); default_signal(33); print(before, show())"
    )
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-IS", "-c", program],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
    )
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    before, after = os.read(reader, 100).decode().split()
    os.close(reader)
    # the two and no other have changed
    assert int(before, 16) & ~int(after, 16) & ~(3 << 31) == 0
    assert not int(after, 16) & (3 << 31)
