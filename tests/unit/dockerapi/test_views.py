"""Containers in docker's shapes."""

from __future__ import annotations

from typing import Any

import pytest

from corten.dockerapi import create, inspect, merge, summary
from corten.dockerapi.requests import CreateBody
from corten.dockerapi.times import ZERO
from corten.dockerapi.versions import MAXIMUM, Version
from corten.engine.types import Container, Endpoint, MountRequest, PortBinding
from corten.errors import InvalidArgument, NotFound
from tests.unit.dockerapi.records import ID, IMAGE_ID, MADE, SECOND, container, image, standard

ENDPOINT = Endpoint(
    network="bridge",
    network_id="ef" * 32,
    ipv4="172.17.0.2",
    ipv4_prefix=16,
    gateway4="172.17.0.1",
    ports=(PortBinding(container_port=80, host_ip="0.0.0.0", host_port=8080),),
)


def shown(record: Container, version: Version = MAXIMUM) -> dict[str, Any]:
    return inspect.container(record, image().config, [], version)


def test_running() -> None:
    document = shown(container(endpoints=(ENDPOINT,)))
    assert document["State"]["Status"] == "running"
    assert (document["State"]["Running"], document["State"]["Pid"]) == (True, 42)
    assert document["State"]["FinishedAt"] == ZERO
    assert document["Name"] == "/db"
    assert document["Image"] == IMAGE_ID
    assert document["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]
    }
    assert document["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == "172.17.0.2"


def test_exited() -> None:
    state = shown(container(status="exited", state={"exit_code": 3, "oom_killed": True}))["State"]
    assert (state["Running"], state["ExitCode"], state["OOMKilled"], state["Pid"]) == (
        False,
        3,
        True,
        0,
    )
    assert state["FinishedAt"] == "2023-11-14T22:14:21Z"


def test_the_one_networks_fields_are_there_until_1_52() -> None:
    record = container(endpoints=(ENDPOINT,))
    assert shown(record, Version(1, 51))["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    assert "IPAddress" not in shown(record, Version(1, 52))["NetworkSettings"]


def test_configuration_over_the_images() -> None:
    config = {"env": ("A=own", "B=1"), "cmd": None, "labels": {"m": "own"}}
    settings = merge.config(container(config=config), image().config["config"])
    assert settings["Env"] == ["A=own", "B=1", "PATH=/bin"]
    assert settings["Cmd"] == ["redis"]
    assert settings["Labels"] == {"l": "image", "m": "own"}
    assert settings["Hostname"] == ID[:12]


def test_entry_point_of_ones_own_drops_the_images_command() -> None:
    settings = merge.config(
        container(config={"entrypoint": ("sh",), "cmd": None}), {"Entrypoint": ["e"], "Cmd": ["c"]}
    )
    assert (settings["Entrypoint"], settings["Cmd"]) == (["sh"], None)


def test_variable_taken_away() -> None:
    assert merge.environment(["A"], ["A=1", "B=2"]) == ["A", "B=2"]


def test_what_was_asked_for_is_shown_again() -> None:
    config = {
        "mounts": (
            MountRequest(type="bind", source="/a", target="/b", create_source=True, read_only=True),
            MountRequest(type="tmpfs", target="/t"),
        ),
        "ports": (PortBinding(container_port=80, host_port=8080),),
    }
    host = shown(container(config=config))["HostConfig"]
    assert host["Binds"] == ["/a:/b:ro"]
    assert host["Mounts"] == [{"Type": "tmpfs", "Target": "/t"}]
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert host["NetworkMode"] == "default"


@pytest.mark.parametrize(
    ("definition", "document"),
    [
        ("ContainerInspectResponse", shown(container())),
        ("ContainerState", shown(container())["State"]),
        ("HostConfig", shown(container())["HostConfig"]),
        ("NetworkSettings", shown(container())["NetworkSettings"]),
        ("ContainerSummary", summary.summary(container(), {}, MADE)),
    ],
)
def test_nothing_that_the_standard_does_not_know(definition: str, document: dict[str, Any]) -> None:
    definitions = standard()["definitions"]
    assert set(document) - properties(definitions, definition) == set()


def properties(definitions: dict[str, Any], name: str) -> set[str]:
    schema = definitions[name]
    found = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        found |= set(part.get("properties", ()))
        if "$ref" in part:
            found |= properties(definitions, part["$ref"].rpartition("/")[2])
    return found


# the list ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("running", "Up 2 minutes"),
        ("paused", "Up 2 minutes (Paused)"),
        ("exited", "Exited (0) About a minute ago"),
        ("created", "Created"),
        ("removing", "Removal In Progress"),
        ("dead", "Dead"),
    ],
)
def test_status(status: str, words: str) -> None:
    record = container(status=status)
    assert summary.status(record.state, MADE + 122 * SECOND) == words


def test_line() -> None:
    line = summary.summary(container(endpoints=(ENDPOINT,)), {"a": "b"}, MADE + 5 * SECOND)
    assert line["Command"] == "serve --port '1 2'"
    assert line["Names"] == ["/db"]
    assert line["Created"] == 1_700_000_000
    assert line["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    ]


RECORDS = [
    container(id="a" * 64, name="old", status="exited", created_at=MADE, state={"exit_code": 3}),
    container(id="b" * 64, name="mid", created_at=MADE + 1, config={"labels": {"k": "v"}}),
    container(id="c" * 64, name="new", created_at=MADE + 2, status="created"),
]


def names(filters: dict[str, list[str]], *, everything: bool = False, limit: int = 0) -> list[str]:
    def resolve(ref: str) -> str:
        if ref == "redis":
            return IMAGE_ID
        raise NotFound(f"No such image: {ref}")

    chosen = summary.select(
        RECORDS,
        filters,
        everything=everything,
        limit=limit,
        resolve=resolve,
        labels=lambda record: record.config.labels,
    )
    return [record.name for record in chosen]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["new", "mid", "old"]),
        ({"name": ["^/old$", "ne"]}, ["new", "old"]),
        ({"id": ["bb"]}, ["mid"]),
        ({"label": ["k=v"]}, ["mid"]),
        ({"label": ["k=w"]}, []),
        ({"status": ["exited", "created"]}, ["new", "old"]),
        ({"exited": ["3"]}, ["old"]),
        ({"exited": ["0"]}, []),
        ({"before": ["mid"]}, ["old"]),
        ({"since": ["a" * 12]}, ["new", "mid"]),
        ({"ancestor": ["redis"]}, ["new", "mid", "old"]),
        ({"ancestor": ["nosuch"]}, []),
        ({"network": ["bridge"]}, ["new", "mid", "old"]),
        ({"network": ["other"]}, []),
        ({"is-task": ["false"], "name": ["mid"]}, ["mid"]),
        ({"is-task": ["true"]}, []),
        ({"health": ["none"], "status": ["running"]}, ["mid"]),
    ],
)
def test_filters(filters: dict[str, list[str]], found: list[str]) -> None:
    assert names(filters, everything=True) == found


def test_only_what_runs_unless_more_is_asked_for() -> None:
    assert names({}) == ["mid"]
    assert names({"status": ["exited"]}) == ["old"]
    assert names({}, limit=2) == ["new", "mid"]


@pytest.mark.parametrize("filters", [{"status": ["x"]}, {"exited": ["x"]}, {"name": ["("]}])
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        names(filters, everything=True)


def test_bound_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="No such container: x"):
        names({"before": ["x"]})


def test_origin_keeps_what_the_engine_does_not_need() -> None:
    body = CreateBody(attach_stdin=True, attach_stdout=True)
    assert create.origin(body) == {"attach": ["stdin", "stdout"]}
