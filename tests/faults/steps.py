"""What is interrupted: each step with what it needs, the act itself, and what must hold
after the daemon was killed in the middle and has been started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from corten.client import Client
from corten.client.records import Container
from corten.cri.pb import cri_pb2 as pb
from corten.errors import CortenError, NotModified
from tests.cri.client import Pod
from tests.faults.machine import BUSYBOX, IMAGE, SLEEPER, Machine, attempt
from tests.harness import wait_gone
from tests.support import catches, eventually

NAME = "one"


class Step(NamedTuple):
    """``act`` is interrupted; it may find what ``prepare`` has made.

    Attributes:
        check: what must hold, and that the same can be done again.
        commits: at which commits the daemon is killed, 1 to this.
    """

    prepare: Callable[[Machine], Any]
    act: Callable[[Machine, Any], Any]
    check: Callable[[Machine, Any], None]
    commits: int


# containers --------------------------------------------------------------------------------


def _created(machine: Machine) -> str:
    with machine.client() as client:
        return client.containers.create(IMAGE, SLEEPER, name=NAME).id


def _running(machine: Machine) -> str:
    with machine.client() as client:
        made = client.containers.start(IMAGE, SLEEPER, name=NAME)
        ready(made)
        return made.id


def _exited(machine: Machine) -> str:
    with machine.client() as client:
        made = client.containers.start(IMAGE, [BUSYBOX, "sh", "-c", "exit 3"], name=NAME)
        made.wait()
        return made.id


def _create(machine: Machine, _given: Any) -> None:
    _created(machine)


def _start(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).start()


def _stop(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).stop(timeout=10)


def _remove(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).remove(force=True)


def _exec(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).exec([BUSYBOX, "true"])


def _pause(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).pause()


def _end(machine: Machine, name: str) -> None:
    """The container ends by itself; whoever waits is told."""
    with machine.client() as client:
        one = client.containers.get(name)
        os.kill(one.attrs["state"]["pid"], signal.SIGTERM)
        one.wait()


def works(container: Container) -> None:
    """It runs, and lets itself be used."""
    container.reload()
    assert container.status == "running", container.attrs["state"]
    os.kill(container.attrs["state"]["pid"], 0)
    assert container.exec([BUSYBOX, "hostname"]).code == 0


def ready(sleeper: Container) -> None:
    """Its trap is set: a first process without a handler would not get the signal at all."""
    pid = sleeper.attrs["state"]["pid"]
    eventually(lambda: catches(pid, signal.SIGTERM), what="the shell's trap is set")


def ends(container: Container) -> None:
    """A sleeper is stopped, its code known, and it can be removed."""
    ready(container)
    container.stop(timeout=10)
    assert container.wait() == 5, container.attrs["state"]
    container.remove()


def runs_again(client: Client) -> None:
    """The name is free; a container of that name has its whole life."""
    made = client.containers.start(IMAGE, SLEEPER, name=NAME)
    works(made)
    ends(made)


def _check_created(machine: Machine, _given: Any) -> None:
    """Wholly there or wholly absent."""
    with machine.client() as client:
        found = machine.container(client, NAME)
        if found is not None:
            assert found.status == "created"
            works(found.start())
            ends(found)
        runs_again(client)


def _check_started(machine: Machine, name: str) -> None:
    with machine.client() as client:
        found = client.containers.get(name)
        assert found.status in ("created", "running"), found.attrs["state"]
        if found.status == "created":
            found.start()
        works(found)
        ends(found)
        runs_again(client)


def _check_stopped(machine: Machine, name: str) -> None:
    """A stop that had begun is finished by whoever comes next."""
    with machine.client() as client:
        found = client.containers.get(name)
        try:
            found.stop(timeout=10)
        except NotModified:
            pass
        assert found.wait() == 5
        works(found.start())
        ends(found)


def _check_removed(machine: Machine, name: str) -> None:
    with machine.client() as client:
        found = machine.container(client, NAME)
        if found is not None:
            found.remove(force=True)
        runs_again(client)


def _check_used(machine: Machine, name: str) -> None:
    """The container did not notice."""
    with machine.client() as client:
        found = client.containers.get(name)
        works(found)
        ends(found)


def _check_paused(machine: Machine, name: str) -> None:
    with machine.client() as client:
        found = client.containers.get(name)
        if found.status == "paused":
            found.unpause()
        works(found)
        ends(found)


def _check_ended(machine: Machine, name: str) -> None:
    with machine.client() as client:
        found = client.containers.get(name)
        assert found.wait() == 5
        assert found.reload().status == "exited"
        works(found.start())
        ends(found)


# pods --------------------------------------------------------------------------------------

POD = pb.PodSandboxConfig(
    metadata=pb.PodSandboxMetadata(name="pod", namespace="test", uid="uid-1"), hostname="pod"
)


def _pod(machine: Machine, _given: Any = None) -> str:
    with machine.cri() as cri:
        made: str = cri.RunPodSandbox(pb.RunPodSandboxRequest(config=POD)).pod_sandbox_id
        return made


def _pod_in_use(machine: Machine) -> str:
    made = _pod(machine)
    with machine.cri() as cri:
        Pod(cri, made, POD).sleeper()
    return made


def _stop_pod(machine: Machine, pod_id: str) -> None:
    with machine.cri() as cri:
        cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod_id))


def _remove_pod(machine: Machine, pod_id: str) -> None:
    with machine.cri() as cri:
        cri.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod_id))


def _check_pod(machine: Machine, _given: Any) -> None:
    """A kubelet's retry gets a pod that works."""
    with machine.cri() as cri:
        shown = cri.ListPodSandbox(pb.ListPodSandboxRequest()).items
        assert len(shown) <= 1
        pod = Pod(cri, _pod(machine), POD)
        assert [item.id for item in shown] in ([], [pod.id])
        assert pod.status().state == pb.SANDBOX_READY
        assert machine.leases() == [pod.ip]
        assert cri.output(pod.sleeper(), "hostname") == "pod"
        _remove_pod(machine, pod.id)
        assert machine.leases() == []


def _check_pod_gone(machine: Machine, pod_id: str) -> None:
    _stop_pod(machine, pod_id)
    _remove_pod(machine, pod_id)
    assert machine.leases() == []
    _check_pod(machine, None)


# images ------------------------------------------------------------------------------------


def _image(machine: Machine, _given: Any) -> None:
    with machine.client() as client:
        client.images.from_host("other", [BUSYBOX, "/bin/true"])


def _check_image(machine: Machine, _given: Any) -> None:
    """One that is shown works; making it again gives the same."""
    with machine.client() as client:
        if client.images.exists("other"):
            assert client.containers.run("other", ["/bin/true"]).code == 0
        _image(machine, None)
        assert client.containers.run("other", ["/bin/true"]).code == 0
        client.images.remove("other")


# volumes -----------------------------------------------------------------------------------

_MOUNTS = [{"type": "volume", "source": "data", "target": "/bin", "mode": "z"}]


def _volume(machine: Machine, _given: Any = None) -> None:
    with machine.client() as client:
        client.volumes.create("data", labels={"a": "b"})


def _volume_with_file(machine: Machine) -> None:
    _volume(machine)
    with machine.client() as client:
        Path(client.volumes.get("data").path, "file").write_text("kept")


def _remove_volume(machine: Machine, _given: Any) -> None:
    with machine.client() as client:
        client.volumes.remove("data")


def _check_volume(machine: Machine, _given: Any) -> None:
    """Wholly there or wholly absent, and can be had again."""
    with machine.client() as client:
        found = [one.name for one in client.volumes.list()]
        assert found in ([], ["data"])
        if found:
            path = Path(client.volumes.get("data").path)
            assert path.is_dir()
            assert not list(path.iterdir()) or (path / "file").read_text() == "kept"
            client.volumes.remove("data")
        _volume_is_used(client)


def _volume_is_used(client: Client) -> None:
    """A new one gets what the image has, and what a container writes stays."""
    mounts = [{**_MOUNTS[0], "target": "/data"}]
    for program in ("echo kept > /data/file", "grep kept /data/file"):
        done = client.containers.run(IMAGE, [BUSYBOX, "sh", "-c", program], mounts=mounts)
        assert done.code == 0, done
    client.volumes.remove("data")


def _with_volumes(machine: Machine, _given: Any = None) -> str:
    with machine.client() as client:
        return client.containers.create(
            IMAGE, [BUSYBOX, "sh", "-c", "echo x > /anon/file"], name=NAME, mounts=_MOUNTS,
            volumes=["/anon"],
        ).id  # fmt: skip


def _ended_with_volumes(machine: Machine) -> str:
    made = _with_volumes(machine)
    with machine.client() as client:
        assert client.containers.get(made).start().wait() == 0
    return made


def _remove_with_volumes(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.containers.get(name).remove(volumes=True)


def _run_with_volumes(machine: Machine, _given: Any) -> None:
    with machine.client() as client:
        client.containers.run(IMAGE, [BUSYBOX, "true"], name=NAME, volumes=["/bin"])


def _check_with_volumes(machine: Machine, _given: Any) -> None:
    """The container with its volumes, or neither; a named one may outlive it."""
    with machine.client() as client:
        found = machine.container(client, NAME)
        if found is not None:
            assert len(client.volumes.list()) == 2
            assert found.start().wait() == 0  # its program lies on the volume
            found.remove(volumes=True)
        assert [one.name for one in client.volumes.list()] in ([], ["data"])
        if client.volumes.list():
            assert Path(client.volumes.get("data").path, "busybox").exists()
            client.volumes.remove("data")
        _ended_with_volumes(machine)
        client.containers.get(NAME).remove(volumes=True)
        assert Path(client.volumes.get("data").path, "busybox").exists()
        client.volumes.remove("data")


def _check_without_volumes(machine: Machine, _given: Any) -> None:
    """What is removed with its end takes its anonymous volume with it."""
    with machine.client() as client:
        made = machine.container(client, NAME)
        if made is not None and made.status == "created":  # it was never started
            made.remove()
        eventually(lambda: machine.container(client, NAME) is None, what="it removes itself")
        eventually(lambda: not client.volumes.list(), what="and its volume")
        _run_with_volumes(machine, None)
        eventually(lambda: not client.volumes.list(), what="again")


# networks ----------------------------------------------------------------------------------

NETWORK = "net"


def _network(machine: Machine, _given: Any = None) -> str:
    with machine.client() as client:
        return client.networks.create(NETWORK, subnet4="10.66.0.0/24").id


def _network_gone(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.networks.get(name).remove()


def _networked(machine: Machine) -> str:
    """A container that is made for the network, and does not run."""
    _network(machine)
    with machine.client() as client:
        spaces = {"network": NETWORK}
        return client.containers.create(IMAGE, SLEEPER, name=NAME, namespaces=spaces).id


def _neighbour(machine: Machine) -> str:
    """A container that runs on the default bridge, beside the network."""
    _network(machine)
    return _running(machine)


def _member(machine: Machine) -> str:
    made = _networked(machine)
    with machine.client() as client:
        ready(client.containers.get(made).start())
    return made


def _connect(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.networks.get(NETWORK).connect(name, aliases=("alias",))


def _disconnect(machine: Machine, name: str) -> None:
    with machine.client() as client:
        client.networks.get(NETWORK).disconnect(name)


def _links(container: Container) -> list[str]:
    """The interfaces that it has inside."""
    shown = container.exec([BUSYBOX, "ip", "-o", "link"]).stdout.decode()
    return sorted(line.split()[1].partition("@")[0].rstrip(":") for line in shown.splitlines())


def _check_network(machine: Machine, _given: Any) -> None:
    """Wholly there or wholly absent; its name and its subnet are free again."""
    with machine.client() as client:
        for network in client.networks.list():
            if network.name == NETWORK:
                network.remove()
        _network(machine)
        _used_network(client)


def _used_network(client: Client) -> None:
    made = client.containers.start(IMAGE, SLEEPER, name=NAME, namespaces={"network": NETWORK})
    works(made)
    assert made.attrs["endpoints"][0]["ipv4"].startswith("10.66.0.")
    assert made.exec([BUSYBOX, "nslookup", NAME]).code == 0
    ends(made)
    client.networks.get(NETWORK).remove()


def _check_member(machine: Machine, name: str) -> None:
    """Record and kernel say the same; it can be connected and disconnected as before."""
    with machine.client() as client:
        found = client.containers.get(name)
        if found.status == "created":
            found.start()
        works(found)
        ends_of = found.attrs.get("endpoints", ())
        assert _links(found) == sorted(["lo", *(end["interface"] for end in ends_of)])
        network = client.networks.get(NETWORK)
        if NETWORK in [end["network"] for end in ends_of]:
            network.disconnect(name)
        network.connect(name)
        assert found.exec([BUSYBOX, "nslookup", NAME]).code == 0
        network.disconnect(name)
        assert NETWORK not in [end["network"] for end in found.reload().attrs.get("endpoints", ())]
        ends(found)
        _used_network(client)


def _nothing(_machine: Machine) -> None:
    """Needs nothing."""


STEPS = {
    "create": Step(_nothing, _create, _check_created, 1),
    "start": Step(_created, _start, _check_started, 4),
    "restart": Step(_exited, _start, lambda m, name: _check_restarted(m, name), 4),
    "stop": Step(_running, _stop, _check_stopped, 5),
    "remove": Step(_created, _remove, _check_removed, 1),
    "remove-running": Step(_running, _remove, _check_removed, 4),
    "exec": Step(_running, _exec, _check_used, 4),
    "pause": Step(_running, _pause, _check_paused, 1),
    "end": Step(_running, _end, _check_ended, 2),
    "run-pod": Step(_nothing, _pod, _check_pod, 4),
    "stop-pod": Step(_pod_in_use, _stop_pod, _check_pod_gone, 6),
    "remove-pod": Step(_pod_in_use, _remove_pod, _check_pod_gone, 9),
    "image": Step(_nothing, _image, _check_image, 8),
    "volume": Step(_nothing, _volume, _check_volume, 2),
    "remove-volume": Step(_volume_with_file, _remove_volume, _check_volume, 2),
    "create-with-volumes": Step(_nothing, _with_volumes, _check_with_volumes, 3),
    "remove-with-volumes": Step(_ended_with_volumes, _remove_with_volumes, _check_with_volumes, 4),
    "run-with-volumes": Step(_nothing, _run_with_volumes, _check_without_volumes, 8),
    "create-network": Step(_nothing, _network, _check_network, 2),
    "remove-network": Step(_network, _network_gone, _check_network, 1),
    "start-on-network": Step(_networked, _start, _check_member, 4),
    "connect": Step(_neighbour, _connect, _check_member, 2),
    "disconnect": Step(_member, _disconnect, _check_member, 2),
}


def _check_restarted(machine: Machine, name: str) -> None:
    """As after an interrupted start, but it had ended before."""
    with machine.client() as client:
        found = client.containers.get(name)
        assert found.wait() == 3
        assert found.start().wait() == 3
        found.remove()


def interrupt(machine: Machine, step: Step, *orders: str) -> CortenError | BaseException | None:
    """Do it, with the daemon killed as ordered; then start the daemon again and check.

    Returns: the error that the client got; None: the step needs no such commit."""
    given = step.prepare(machine)
    machine.crash_at(*orders)
    error = attempt(lambda: step.act(machine, given))
    if error is not None:
        eventually(lambda: not machine.alive, what=f"killed; {error!r}")
        wait_gone(machine.pid)
    machine.revive()
    step.check(machine, given)
    return error
