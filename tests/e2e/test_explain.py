"""``corten explain``: what it says is compared with the machine, before and after removal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Daemon
from tests.support import eventually

BUSYBOX = "/bin/busybox"


@pytest.fixture(autouse=True)
def clean(daemon: Daemon) -> Iterator[None]:
    if not Path(BUSYBOX).exists():
        pytest.skip("needs busybox-static")
    daemon.corten("image", "from-host", "--tag", "box", BUSYBOX)
    yield
    for kind, command in (("container", "ps -aq"), ("volume", "volume ls -q")):
        names = daemon.corten(*command.split()).stdout.split()
        if names:
            daemon.corten(kind, "rm", "-f", *names)


def explain(daemon: Daemon, *words: str) -> dict[str, Any]:
    done = daemon.corten("explain", "--format", "json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_running_container(daemon: Daemon) -> None:
    daemon.corten("network", "create", "app")
    volumes = ("-v", "data:/data", "-v", "/anonymous")
    network = ("--network", "app", "-p", "127.0.0.1::80")
    daemon.corten("run", "-d", "--name", "web", *network, *volumes, "box", BUSYBOX, "sleep", "1000")
    said = explain(daemon, "web")
    pid = int(daemon.corten("inspect", "-f", "{{.State.Pid}}", "web").stdout)
    roles = {one["Role"]: one["Pid"] for one in said["Processes"]}
    assert roles["init"] == pid
    assert os.path.exists(f"/proc/{roles['keeper']}")
    assert {one["Kind"]: one["Number"] for one in said["Namespaces"]}["net"] == os.stat(
        f"/proc/{pid}/ns/net"
    ).st_ino
    assert all(os.path.isdir(one["Path"]) for one in said["Cgroups"])
    (inside, outside) = said["Links"]
    assert inside["Name"] == "eth0"
    assert os.path.exists(f"/sys/class/net/{outside['Name']}")
    assert {"/data", "/anonymous"} <= {one["Target"] for one in said["Mounts"]}
    assert "running" in said["Removal"]["Obstacle"]

    goes = {one["Path"]: one["Goes"] for one in said["Places"] if one["Path"]}
    assert all(os.path.lexists(path) for path in goes)
    assert sorted(goes.values()).count("with -v") == 1
    daemon.corten("rm", "-f", "-v", "web")
    gone = [path for path, how in goes.items() if how != "no"]
    eventually(lambda: not [p for p in gone if os.path.lexists(p)], what=f"{gone} are gone")
    assert [p for p, how in goes.items() if how == "no" and not os.path.lexists(p)] == []

    kept = explain(daemon, "data")
    assert (kept["Kind"], kept["Removal"]["Obstacle"]) == ("volume", "")
    assert kept["Places"][0]["Path"] in goes
    app = explain(daemon, "--type", "network", "app")
    assert os.path.exists(f"/sys/class/net/{app['Links'][0]['Name']}")
    daemon.corten("network", "rm", "app")


def test_an_image(daemon: Daemon) -> None:
    daemon.corten("create", "--name", "user", "box", BUSYBOX, "true")
    said = explain(daemon, "box")
    assert [one["Name"] for one in said["Related"]] == ["user"]
    assert said["Removal"]["Obstacle"] == "made of it: user"
    assert {one["What"] for one in said["Places"]} == {
        "layer", "manifest", "configuration", "packed layer",
    }  # fmt: skip
    daemon.corten("rm", "user")
    assert explain(daemon, "box")["Removal"]["Obstacle"] == ""
    paths = [one["Path"] for one in said["Places"]]
    assert all(os.path.exists(path) for path in paths)
    daemon.corten("rmi", "box")
    eventually(lambda: not [p for p in paths if os.path.exists(p)], what=f"{paths} are gone")


def test_text_and_errors(daemon: Daemon) -> None:
    daemon.corten("create", "--name", "one", "box", BUSYBOX, "true")
    text = daemon.corten("explain", "one", "--exact").stdout
    assert text.startswith("container one (")
    assert "was created and never started" in text
    assert "Processes:" not in text
    assert "corten rm one" in text
    missing = daemon.corten("explain", "nothing", check=False)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no such object: nothing" in missing.stderr
