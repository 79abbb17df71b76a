"""A daemon that is stopped and started: what goes on, what is remembered, who may serve."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from corten.client import Client
from corten.errors import CortenError, NotFound
from tests.e2e.engine_support import IMAGE, NO_NETWORK, connect, make_image, shell
from tests.harness import Daemon
from tests.support import catches, eventually, wiped

LOOP = "trap 'exit 5' TERM; n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.02; done"


def restarted(daemon: Daemon, client: Client) -> Client:
    client.close()
    assert daemon.stop() == 0
    daemon.start()
    return connect(daemon)


def test_containers_do_not_notice(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    make_image(daemon)
    client = connect(daemon)
    one = shell(client, LOOP, name="one")
    pid = one.attrs["state"]["pid"]
    code = one.exec(["sh", "-c", "exit 9"]).code
    assert code == 9
    client = restarted(daemon, client)
    one = client.containers.get("one")
    assert (one.status, one.attrs["state"]["pid"]) == ("running", pid)
    # Everything works on it again, and its log has no gap.
    assert one.exec(["sh", "-c", "echo in"]).stdout == b"in\n"
    with one.attach() as stream:
        assert next(iter(stream))[1].startswith(b"tick")
    assert one.stop(timeout=30).exit_code == 5
    lines = [int(line.data.split()[1]) for line in one.logs()]
    assert lines == list(range(1, len(lines) + 1))
    one.remove()
    client.close()


def test_a_restart_that_a_crash_interrupts_is_finished(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    make_image(daemon)
    client = connect(daemon)
    script = "trap 'echo told' TERM; while :; do sleep 0.05; done"
    one = shell(client, script, name="one", auto_remove=True)
    pid = one.attrs["state"]["pid"]
    eventually(lambda: catches(pid, signal.SIGTERM), what="the shell's trap is set")

    def restart() -> None:
        with contextlib.suppress(CortenError), Client(f"{daemon.state}/corten.sock") as other:
            other.containers.get("one").restart(timeout=2)

    asking = threading.Thread(target=restart)
    asking.start()
    eventually(lambda: any(line.data == b"told\n" for line in one.logs()))
    daemon.kill()
    asking.join()
    client.close()
    daemon.start()
    client = connect(daemon)
    eventually(lambda: client.containers.get("one").attrs["state"].get("pid", pid) != pid)
    assert client.containers.get("one").status == "running"
    client.containers.get("one").remove(force=True)
    client.close()


def test_what_ended_meanwhile_is_recorded(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    make_image(daemon)
    client = connect(daemon)
    go = daemon.base / "go"
    mount = {"type": "bind", "source": str(daemon.base), "target": "/base"}
    script = "until [ -e /base/go ]; do sleep 0.02; done; exit 7"
    kept = shell(client, script, name="kept", mounts=[mount])
    shell(client, script, name="gone", mounts=[mount], auto_remove=True)
    pid = kept.attrs["state"]["pid"]
    client.close()
    assert daemon.stop() == 0
    go.touch()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the container's end")
    client = connect(daemon.start())
    kept = client.containers.get("kept")
    assert (kept.status, kept.exit_code) == ("exited", 7)
    assert kept.wait() == 7
    eventually(lambda: [c.name for c in client.containers.list()] == ["kept"])
    events = client.events(since=0, until=time.time_ns())
    assert [e["action"] for e in events if e["id"] == kept.id] == ["create", "start", "die"]
    client.close()


def test_another_boot_ends_everything(own_daemon: Daemon) -> None:
    """What a reboot leaves: the data root, and nothing of the state directory."""
    daemon = own_daemon.start()
    make_image(daemon)
    client = connect(daemon)
    one = shell(client, LOOP, name="one")
    created = client.containers.create(IMAGE, name="created", namespaces=NO_NETWORK)
    one.kill()
    client.close()
    assert daemon.stop() == 0
    _rewrite_as_of_another_boot(daemon.root / "corten.db", one.id)
    wiped(daemon.state)
    client = connect(daemon.start())
    state = client.containers.get("one").attrs["state"]
    assert (state["status"], state["exit_code"], state["reason"]) == ("exited", 255, "reboot")
    assert client.containers.get("created").id == created.id
    assert client.containers.get("one").start().status == "running"
    client.close()


def _rewrite_as_of_another_boot(path: Path, container_id: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE containers SET record = CAST(json_set(record, '$.state.status', 'running',"
            " '$.state.boot_id', 'another', '$.state.exit_code', 0) AS BLOB) WHERE id = ?",
            (container_id,),
        )
    db.close()


def test_one_daemon_per_root(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    second = subprocess.run(
        daemon.argv(), env=daemon.environment(), capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert "another daemon" in second.stderr
    assert "--root and --state" in second.stderr
    # With another state directory it is still the same root.
    argv = [
        word if word != str(daemon.state) else str(daemon.base / "s2") for word in daemon.argv()
    ]
    third = subprocess.run(
        argv, env=daemon.environment(), capture_output=True, text=True, timeout=60
    )
    assert third.returncode == 1
    assert str(daemon.root) in third.stderr


def test_two_daemons_side_by_side(own_daemon: Daemon) -> None:
    other = Daemon()
    try:
        clients = [connect(own_daemon.start()), connect(other.start())]
        for daemon in (own_daemon, other):
            make_image(daemon)
        both = [shell(client, LOOP, name="same") for client in clients]
        assert both[0].id != both[1].id
        pid = both[1].attrs["state"]["pid"]
        eventually(lambda: catches(pid, signal.SIGTERM), what="the shell's trap is set")
        own_daemon.kill()
        assert both[1].stop(timeout=30).exit_code == 5
        own_daemon.start()
        for client in clients:
            client.close()
    finally:
        other.close()


def test_a_newer_root_is_refused(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.root / "corten.db") as db:
        db.execute("INSERT INTO migrations VALUES (9000, 'future', 0, '99.0')")
    db.close()
    again = subprocess.run(
        daemon.argv(), env=daemon.environment(), capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1
    assert "99.0" in again.stderr
    with sqlite3.connect(daemon.root / "corten.db") as db:
        db.execute("DELETE FROM migrations WHERE number = 9000")
    db.close()


def test_a_wrong_configuration_is_refused_and_a_reload_of_one_changes_nothing(
    own_daemon: Daemon,
) -> None:
    daemon = own_daemon.start()
    assert daemon.process is not None
    daemon.config.write_text("[daemon]\nlog_level = 'debug'\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reloaded" in daemon.log.read_text())
    daemon.config.write_text("[daemon]\nnonsense = 1\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "not reloaded" in daemon.log.read_text())
    client = connect(daemon)
    assert client.info()["prefix"] == daemon.prefix
    client.close()
    assert daemon.stop() == 0
    again = subprocess.run(
        daemon.argv(), env=daemon.environment(), capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1
    assert "nonsense" in again.stderr
    daemon.config.write_text("")


def test_an_operation_goes_on_without_its_client(own_daemon: Daemon) -> None:
    daemon = own_daemon.start()
    make_image(daemon)
    client = connect(daemon)
    one = shell(client, "trap '' TERM; echo ready; while :; do sleep 0.05; done", name="one")
    eventually(lambda: list(one.logs()))
    impatient = connect(daemon)
    impatient.connection.begin(
        "stop_container", tenant="docker", ref=one.id, timeout=0.5, signal=""
    )
    impatient.close()
    assert one.wait() == 137
    one.remove()
    try:
        client.containers.get("one")
    except NotFound:
        client.close()
    else:
        raise AssertionError("it is still there")
