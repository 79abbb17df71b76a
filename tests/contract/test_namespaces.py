"""Network namespaces, pods and published ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import AlreadyExists, InvalidArgument
from corten.kernel.namespaces import namespace_type
from corten.launch import messages
from corten.launch.messages import (
    CREATE_ID,
    CreatePod,
    Delete,
    GetState,
    Kill,
    MakeNetns,
    Namespaces,
    OpenNetlink,
    PodCreated,
    Unpin,
)
from tests.contract.conftest import Make
from tests.contract.driver import Host, Talk
from tests.support import eventually


def net_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/net").st_ino


@pytest.fixture
def netns(host: Host) -> Iterator[int]:
    """A network namespace of the launcher's making."""
    fds = host.talk.ask_fds(MakeNetns())
    os.close(fds["netlink"])
    yield fds["netns"]
    os.close(fds["netns"])


def test_network_namespace_with_a_socket_inside(host: Host) -> None:
    answer = host.talk.reply(host.talk.connection.send(MakeNetns()))
    fds = answer.fds
    assert namespace_type(fds["netns"]) == 0x40000000
    assert os.fstat(fds["netns"]).st_ino == answer.result()["inode"]
    assert os.fstat(fds["netns"]).st_ino != net_of(os.getpid())
    links = subprocess.run(
        ["nsenter", f"--net=/proc/self/fd/{fds['netns']}", "ip", "-o", "link"],
        pass_fds=[fds["netns"]], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert links.count("\n") == 1 and "LOOPBACK,UP" in links
    for fd in fds.values():
        os.close(fd)


def test_netlink_socket_of_a_given_namespace(host: Host, netns: int) -> None:
    fd = host.talk.ask_fds(OpenNetlink(), {"netns": netns})["netlink"]
    with socket.socket(fileno=fd) as sock:
        assert sock.family == socket.AF_NETLINK
    with pytest.raises(InvalidArgument):
        host.talk.ask(OpenNetlink())
    assert net_of(host.hello.pid) == net_of(os.getpid())


def test_pin_is_seen_in_the_host_and_taken_back(host: Host, tmp_path: Path) -> None:
    pin = tmp_path / "cni-1"
    answer = host.talk.reply(host.talk.connection.send(MakeNetns(pin=str(pin))))
    answer.close_fds()
    assert pin.stat().st_ino == answer.result()["inode"]
    with pytest.raises(AlreadyExists):
        host.talk.ask(MakeNetns(pin=str(pin)))
    host.talk.ask(Unpin(path=str(pin)))
    assert not pin.exists() and str(pin) not in Path("/proc/self/mountinfo").read_text()
    host.talk.ask(Unpin(path=str(pin)))


def test_container_joins_a_network_namespace(make: Make, netns: int, runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("runsc has no network here")
    container = make(["sleep", "1000"], fds={"ns.network": netns}).create().start()
    assert net_of(container.created.pid) == os.fstat(netns).st_ino
    container.talk.ask(Delete(force=True))
    container.gone()


class Pod:
    """A pod's monitor."""

    def __init__(self, host: Host, name: str, netns: int, *kinds: str, **fields: object) -> None:
        self.dir = host.run_dir(name)
        request = CreatePod(
            id=name,
            run_dir=str(self.dir),
            namespaces=kinds,
            hostname="podhost" if "uts" in kinds else "",
            cgroup=f"{host.group}/{name}",
            **fields,  # type: ignore[arg-type]  # a test's choice
        )
        self.forked, self.talk, _ = host.make(request, {"ns.network": netns})
        answer = self.talk.reply(CREATE_ID)
        self.created = messages.read(PodCreated, answer.result())
        self.fds = answer.fds

    def close(self) -> None:
        self.talk.ask(Delete())
        self.talk.end()
        for fd in self.fds.values():
            os.close(fd)


@pytest.mark.parametrize("number", [1, 2])
def test_pod_holds_namespaces_for_its_containers(
    host: Host, native: Make, netns: int, number: int
) -> None:
    pod = Pod(host, f"pod-{number}", netns, "ipc", "uts", "pid")
    assert sorted(pod.fds) == ["ns.ipc", "ns.network", "ns.pid", "ns.uts"]
    assert os.fstat(pod.fds["ns.network"]).st_ino == os.fstat(netns).st_ino
    assert pod.created.pid > 0
    containers = []
    for _ in range(2):
        container = native(["sh", "-c", "hostname; ps; sleep 1000"], fds=dict(pod.fds))
        container.config["hostname"] = ""
        containers.append(container.create().start())
    one, two = containers
    for kind in ("ipc", "uts", "pid", "net"):
        paths = [f"/proc/{container.created.pid}/ns/{kind}" for container in containers]
        assert os.stat(paths[0]).st_ino == os.stat(paths[1]).st_ino
    eventually(lambda: b"sleep" in one.log.read_bytes() or b"ps" in one.log.read_bytes())
    assert b"podhost" in one.log.read_bytes()
    one.talk.ask(Kill(signal=9))
    assert one.wait().code == 137
    assert two.talk.ask(GetState())["status"] == "running"
    two.talk.ask(Delete(force=True))
    two.gone()
    pod.close()
    assert not Path(f"/proc/{pod.created.pid}").exists()
    state = (pod.dir / "state.json").read_text()
    assert '"cleaned":true' in state


def test_orphans_of_a_container_are_reaped_in_a_shared_pid_namespace(
    host: Host, native: Make, netns: int
) -> None:
    pod = Pod(host, "pod-reap", netns, "pid")
    # As long as it is a zombie it has its place in /proc.
    orphan = "sleep 0.1 & echo $! > /tmp/orphan; exec true"
    wait = "until [ -s /tmp/orphan ]; do :; done; while [ -e /proc/$(cat /tmp/orphan) ]; do :; done"
    script = f"(sh -c '{orphan}' &); {wait}; ps -o stat,comm; echo end; sleep 1000"
    container = native(["sh", "-c", script], fds=dict(pod.fds)).create().start()
    eventually(lambda: b"end" in container.log.read_bytes())
    lines = [json.loads(line)["log"] for line in container.log.read_text().splitlines()]
    assert lines[0].startswith("STAT") and not [line for line in lines if line.startswith("Z")]
    container.talk.ask(Delete(force=True))
    container.gone()
    pod.close()


def test_end_of_a_container_ends_all_of_it_in_a_shared_pid_namespace(
    host: Host, native: Make, netns: int
) -> None:
    pod = Pod(host, "pod-end", netns, "pid")
    container = native(["sh", "-c", "sleep 1000 & echo $!; exit 3"], fds=dict(pod.fds))
    container.create().start()
    assert container.wait().code == 3
    # A zombie is in the group until the reaper has looked at it.
    eventually(
        lambda: not [p for p in Path("/proc").glob("[0-9]*/cgroup") if _has(p, container.name)],
        what="the end of all its processes",
    )
    pod.close()


def _has(path: Path, name: str) -> bool:
    try:
        return name in path.read_text()
    except OSError:
        return False


def test_a_pods_monitor_that_is_told_to_end_waits_for_the_containers(
    host: Host, native: Make, netns: int
) -> None:
    """Or their processes would be killed with the reaper instead of stopped."""
    pod = Pod(host, "pod-down", netns, "pid")
    script = "trap 'sleep 0.5; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    container = native(["sh", "-c", script], fds=dict(pod.fds)).create().start()
    eventually(lambda: b"ready" in container.log.read_bytes())
    os.kill(pod.forked.pid, signal.SIGTERM)
    os.kill(container.forked.pid, signal.SIGTERM)
    assert container.wait().code == 7
    pod.talk.event("exit")
    pod.talk.end()
    for fd in pod.fds.values():
        os.close(fd)


def test_reaper_has_nothing_to_steal(host: Host, netns: int) -> None:
    pod = Pod(host, "pod-bare", netns, "pid", "ipc")
    proc = Path(f"/proc/{pod.created.pid}")
    assert list((proc / "fd").iterdir()) == []
    assert list((proc / "root").iterdir()) == []
    status = (proc / "status").read_text()
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    assert os.stat(proc / "ns/pid_for_children").st_ino == os.fstat(pod.fds["ns.pid"]).st_ino
    pod.close()


def test_pod_whose_reaper_is_killed_ends(host: Host, native: Make, netns: int) -> None:
    pod = Pod(host, "pod-killed", netns, "pid")
    container = native(["sleep", "1000"], fds=dict(pod.fds)).create().start()
    os.kill(pod.created.pid, 9)
    assert container.wait().code == 137
    pod.talk.event("exit")
    pod.talk.end()
    for fd in pod.fds.values():
        os.close(fd)


def test_namespaces_are_handed_out_again(host: Host, netns: int) -> None:
    pod = Pod(host, "pod-again", netns, "ipc")
    again = pod.talk.ask_fds(Namespaces())
    assert sorted(again) == ["ns.ipc", "ns.network"]
    assert os.fstat(again["ns.ipc"]).st_ino == os.fstat(pod.fds["ns.ipc"]).st_ino
    for fd in again.values():
        os.close(fd)
    pod.close()


def test_sysctls_of_a_pod(host: Host, netns: int) -> None:
    pod = Pod(
        host, "pod-sysctl", netns, "ipc",
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0", "kernel.shm_rmid_forced": "1"},
    )  # fmt: skip
    value = subprocess.run(
        ["nsenter", f"--net=/proc/self/fd/{netns}", "cat",
         "/proc/sys/net/ipv4/ip_unprivileged_port_start"],
        pass_fds=[netns], capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert value == b"0\n"
    pod.close()
    with pytest.raises(InvalidArgument):
        Pod(host, "pod-bad", netns, sysctls={"kernel.hostname": "x"})


def test_run_directory_has_one_monitor(host: Host, netns: int) -> None:
    pod = Pod(host, "pod-locked", netns, "ipc")
    request = CreatePod(id="x", run_dir=str(pod.dir))
    number, connection = host.launcher.connection.create(request)
    host.talks.append(Talk(connection))
    with pytest.raises(AlreadyExists):
        host.talk.reply(number).result()
    pod.close()


def test_published_port_reaches_the_container(native: Make, netns: int) -> None:
    """The relay's target is on the host's loopback here: networks are another suite's."""
    target = socket.create_server(("127.0.0.1", 0))
    listening = socket.create_server(("127.0.0.1", 0))
    container = native(
        ["sleep", "1000"],
        fds={"published.0": listening.fileno()},
        published=({"address": "127.0.0.1", "port": target.getsockname()[1]},),
    ).create()
    address = listening.getsockname()
    listening.close()
    payload = os.urandom(2_000_000)
    with socket.create_connection(address) as client:
        server, _ = target.accept()
        with server:
            client.settimeout(30)
            server.settimeout(30)
            _send_and_check(client, server, payload)
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
            _send_and_check(server, client, payload)
            server.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    container.talk.ask(Delete(force=True))
    container.gone()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    target.close()


def _send_and_check(sender: socket.socket, receiver: socket.socket, payload: bytes) -> None:
    got = bytearray()
    view = memoryview(payload)
    sender.setblocking(False)
    receiver.setblocking(False)

    def turn() -> bool:
        nonlocal view
        try:
            view = view[sender.send(view[:65536]) :] if view else view
        except BlockingIOError:
            pass
        try:
            got.extend(receiver.recv(65536))
        except BlockingIOError:
            pass
        return len(got) == len(payload)

    while not turn():
        pass
    assert bytes(got) == payload
    sender.settimeout(30)
    receiver.settimeout(30)


def test_published_port_to_nobody_is_closed(native: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    listening = socket.create_server(("127.0.0.1", 0))
    container = native(
        ["sleep", "1000"],
        fds={"published.0": listening.fileno()},
        published=({"address": "127.0.0.1", "port": port},),
    ).create()
    with socket.create_connection(listening.getsockname()) as client:
        client.settimeout(30)
        assert client.recv(1) == b""
    listening.close()
    container.talk.ask(Delete(force=True))
    container.gone()


def test_a_published_port_without_its_socket_is_refused(native: Make) -> None:
    container = native(["true"], published=({"address": "127.0.0.1", "port": 1},))
    with pytest.raises(InvalidArgument):
        container.create()
    container.gone()
