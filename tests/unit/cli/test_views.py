"""Lines of lists, in docker's words."""

from __future__ import annotations

from typing import Any

import pytest

from corten.cli import filters, human, inspecting, names, views
from corten.errors import InvalidArgument

NOW = 1_000_000.0
SECOND = 10**9


def record(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "ab" * 32, "tenant": "docker", "name": "web", "image_id": "sha256:" + "c" * 64,
        "image_ref": "img", "created_at": int(NOW - 60) * SECOND, "path": "sleep",
        "args": ["1000"], "config": {"image": "img"},
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"), (120, "2 minutes"), (3600, "About an hour"), (7200, "2 hours"),
        (47 * 3600, "47 hours"), (48 * 3600, "2 days"), (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert human.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (999, "999B"), (7340000, "7.34MB"), (999_900, "1000kB")]
)
def test_sizes(count: int, text: str) -> None:
    assert human.size(count) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "Created"),
        ({"status": "running", "started_at": int(NOW - 5) * SECOND}, "Up 5 seconds"),
        ({"status": "paused", "started_at": int(NOW - 5) * SECOND}, "Up 5 seconds (Paused)"),
        ({"status": "exited", "exit_code": 3, "finished_at": int(NOW - 120) * SECOND},
         "Exited (3) 2 minutes ago"),
        ({"status": "removing"}, "Removal In Progress"),
        ({"status": "dead"}, "Dead"),
    ],
)  # fmt: skip
def test_status(state: dict[str, Any], text: str) -> None:
    assert views.status(record(state=state), now=NOW) == text


def test_a_long_command_is_shortened() -> None:
    row = record(path="/bin/sh", args=["-c", "echo something long"])
    assert views.command(row, False) == '"/bin/sh -c \'echo so…"'
    assert views.command(row, True) == "\"/bin/sh -c 'echo something long'\""


def test_ports_published_and_exposed() -> None:
    row = record(
        state={"status": "running"},
        config={"image": "img", "exposed_ports": ["80/tcp", "443/tcp"]},
        endpoints=[{"network": "bridge", "ports": [
            {"container_port": 80, "host_port": 8080},
            {"container_port": 80, "host_port": 8080, "host_ip": "::"},
        ]}],
    )  # fmt: skip
    assert views.ports(row) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp"
    assert views.ports({**row, "state": {"status": "exited"}}) == ""


def test_one_line_per_tag() -> None:
    image = {
        "id": "sha256:" + "d" * 64, "size": 1000,
        "tags": ["docker.io/library/redis:7", "quay.io/x/y:z"],
        "digests": ["docker.io/library/redis@sha256:" + "e" * 64],
    }  # fmt: skip
    rows = views.images(image, full=False)
    assert [(r["Repository"], r["Tag"], r["ID"]) for r in rows] == [
        ("redis", "7", "d" * 12), ("quay.io/x/y", "z", "d" * 12),
    ]  # fmt: skip
    assert rows[0]["Digest"] == "sha256:" + "e" * 64
    assert views.images({"id": "sha256:" + "d" * 64}, full=False)[0]["Repository"] == "<none>"


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("quay.io/x/y@sha256:aa", "quay.io/x/y@sha256:aa"),
        ("index.docker.io/redis", "docker.io/library/redis:latest"),
    ],
)
def test_names(typed: str, canonical: str) -> None:
    assert names.canonical(typed) == canonical
    assert names.canonical(names.familiar(canonical)) == canonical


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (["status=created"], 1),
        (["status=running"], 0),
        (["status=running", "status=created"], 1),
        (["name=we"], 1),
        (["label=a=1", "label=b"], 1),
        (["label=a=2"], 0),
        (["ancestor=img:latest"], 1),
        (["ancestor=" + "c" * 12], 1),
        (["id=abab", "name=other"], 0),
    ],
)
def test_filters(condition: list[str], count: int) -> None:
    row = record(config={"image": "img", "labels": {"a": "1", "b": ""}})
    wanted = filters.parse(condition, filters.CONTAINERS)
    assert len(filters.select([row], wanted, filters.CONTAINERS)) == count


def test_an_unknown_filter_lists_the_known() -> None:
    with pytest.raises(InvalidArgument) as caught:
        filters.parse(["colour=red"], filters.CONTAINERS)
    assert "status" in caught.value.hint


def test_inspect_merges_image_and_container() -> None:
    row = record(config={"image": "img", "env": ["A=own"], "labels": {"l": "own"}})
    image = {"config": {"config": {
        "Env": ["A=image", "B=image"], "Cmd": ["run"], "Labels": {"l": "image", "m": "image"},
        "WorkingDir": "/w",
    }}}  # fmt: skip
    config = inspecting.container(row, image)["Config"]
    assert config["Env"] == ["B=image", "A=own"]
    assert (config["Cmd"], config["WorkingDir"]) == (["run"], "/w")
    assert config["Labels"] == {"l": "own", "m": "image"}


def test_inspect_s_shape_is_docker_s() -> None:
    row = record(
        state={"status": "running", "pid": 7, "started_at": 1},
        endpoints=[{"network": "bridge", "ipv4": "172.17.0.2", "ports": [
            {"container_port": 80, "host_port": 8080, "host_ip": "0.0.0.0"}]}],
    )  # fmt: skip
    shown = inspecting.container(row, {})
    assert (shown["Name"], shown["State"]["Pid"]) == ("/web", 7)
    assert shown["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    assert shown["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]
    }
