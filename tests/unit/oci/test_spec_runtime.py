from __future__ import annotations

from typing import Any

import pytest

from corten.errors import InvalidArgument, Unimplemented
from corten.spec.runtime import parse, parse_process


def minimal(**members: Any) -> dict[str, Any]:
    return {"ociVersion": "1.2.0", "root": {"path": "rootfs"}, **members}


def process(**members: Any) -> dict[str, Any]:
    return {"args": ["true"], "cwd": "/", **members}


def test_minimal_document() -> None:
    config = parse(minimal(process=process()))
    assert config.root_path == "rootfs"
    assert config.process is not None
    assert config.process.user.uid == 0
    assert config.linux.namespaces == ()


def test_null_means_absent() -> None:
    config = parse(minimal(process=process(env=None, rlimits=None), mounts=None, linux=None))
    assert config.mounts == ()


def test_unknown_members_are_ignored() -> None:
    parse(minimal(process=process(future=1), future={"x": []}))


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"ociVersion": "2.0.0"}, "ociVersion"),
        ({"ociVersion": None}, "ociVersion"),
        ({"mounts": {}}, "mounts"),
        ({"mounts": [{"source": "/x"}]}, "mounts[0].destination"),
        ({"mounts": [{"destination": "/x", "options": ["ro", 1]}]}, "mounts[0].options[1]"),
        ({"annotations": {"": "x"}}, "annotations"),
        ({"annotations": {"x": 1}}, "annotations.x"),
        ({"hostname": "x"}, "hostname"),
        ({"hooks": {"poststop": [{"path": "relative"}]}}, "hooks.poststop[0].path"),
        ({"hooks": {"prestart": [{"path": "/x", "timeout": 0}]}}, "hooks.prestart[0].timeout"),
        ({"linux": {"namespaces": [{"type": "x"}]}}, "linux.namespaces[0].type"),
        ({"linux": {"namespaces": [{"type": "pid", "path": "x"}]}}, "linux.namespaces[0].path"),
        ({"linux": {"namespaces": [{"type": "pid"}] * 2}}, "linux.namespaces[1].type"),
        ({"linux": {"namespaces": [{"type": "user"}]}}, "linux.uidMappings"),
        ({"linux": {"maskedPaths": ["x"]}}, "linux.maskedPaths[0]"),
        ({"linux": {"rootfsPropagation": "x"}}, "linux.rootfsPropagation"),
        ({"linux": {"devices": [{"path": "/x", "type": "z"}]}}, "linux.devices[0].type"),
        ({"linux": {"timeOffsets": {"realtime": {}}}}, "linux.timeOffsets.realtime"),
        ({"linux": {"personality": {"domain": "X"}}}, "linux.personality.domain"),
        ({"linux": {"sysctl": {"a": 1}}}, "linux.sysctl.a"),
    ],
)
def test_the_wrong_member_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse({**minimal(), **members})
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"args": []}, "process.args"),
        ({"args": [""]}, "process.args"),
        ({"args": ["a\0b"]}, "process.args[0]"),
        ({"cwd": "relative"}, "process.cwd"),
        ({"env": ["A=\0"]}, "process.env[0]"),
        ({"user": {"uid": -1}}, "process.user.uid"),
        ({"user": {"uid": 0xFFFFFFFF}}, "process.user.uid"),
        ({"user": {"uid": True}}, "process.user.uid"),
        ({"user": {"uid": 1.5}}, "process.user.uid"),
        ({"user": {"umask": 0o1000}}, "process.user.umask"),
        ({"user": {"additionalGids": ["x"]}}, "process.user.additionalGids[0]"),
        ({"oomScoreAdj": 1001}, "process.oomScoreAdj"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "process.rlimits[0].soft"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 1}]}, "process.rlimits[0].hard"),
        (
            {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2},
            "process.rlimits[1].type",
        ),
        ({"capabilities": {"bounding": "CAP_KILL"}}, "process.capabilities.bounding"),
        (
            {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}},
            "process.ioPriority.priority",
        ),
    ],
)
def test_the_wrong_member_of_a_process_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_process({**process(), **members})
    assert caught.value.path == path


def test_what_is_not_offered_names_itself() -> None:
    with pytest.raises(Unimplemented, match=r"linux\.netDevices"):
        parse(minimal(linux={"netDevices": {"eth0": {}}}))


def test_unlimited_is_the_largest_number() -> None:
    limits = [{"type": "RLIMIT_CORE", "soft": -1, "hard": 18446744073709551615}]
    (limit,) = parse_process(process(rlimits=limits)).rlimits
    assert limit.soft == limit.hard == 0xFFFFFFFFFFFFFFFF


def test_names_of_the_engine() -> None:
    user = parse_process(process(user={"username": "", "additionalGroupNames": ["a"]})).user
    assert user.username == ""
    assert user.group_names == ("a",)
    # the specification's username is for Windows: beside a uid it says nothing
    assert parse_process(process(user={"uid": 5, "username": "x"})).user.username is None


def test_relative_destinations_are_below_the_root() -> None:
    config = parse(minimal(mounts=[{"destination": "data"}]))
    assert config.mounts[0].destination == "/data"
