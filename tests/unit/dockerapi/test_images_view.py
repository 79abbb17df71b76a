"""Images in docker's shapes, pulls, registry credentials."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from corten.dockerapi import imageview, pull
from corten.dockerapi.versions import MAXIMUM, Version
from corten.engine.types import Auth, Event, Image, Progress
from corten.errors import InvalidArgument, NotFound
from tests.unit.dockerapi.records import IMAGE_ID, MADE, image


def test_summary() -> None:
    shown = imageview.summary(image(), MAXIMUM)
    assert shown["RepoTags"] == ["redis:7"]
    assert shown["RepoDigests"] == ["redis@sha256:" + "ef" * 32]
    assert shown["Size"] == 1234
    assert "VirtualSize" not in shown
    assert imageview.summary(image(), Version(1, 43))["VirtualSize"] == 1234


def test_without_a_name() -> None:
    bare = image(tags=(), digests=())
    assert imageview.summary(bare, MAXIMUM)["RepoTags"] == []
    assert imageview.summary(bare, Version(1, 41))["RepoTags"] == ["<none>:<none>"]


def test_document() -> None:
    shown = imageview.document(image(), MAXIMUM, snapshotter="overlay")
    assert shown["Id"] == IMAGE_ID
    assert shown["Config"] == {
        "Env": ["PATH=/bin", "A=image"],
        "Cmd": ["redis"],
        "Labels": {"l": "image"},
    }
    assert shown["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "12" * 32]}
    old = imageview.document(image(), Version(1, 41), snapshotter="overlay")
    assert old["Config"]["Hostname"] == ""
    assert old["Parent"] == ""


def chosen(**filters: list[str]) -> list[str]:
    images = [
        image(id="old", created_at=MADE, tags=("docker.io/library/redis:7",)),
        image(id="mid", created_at=MADE + 1, tags=("registry:5000/team/app:1",), digests=()),
        image(id="new", created_at=MADE + 2, tags=(), digests=()),
    ]

    def resolve(ref: str) -> Image:
        for one in images:
            if one.id == ref:
                return one
        raise NotFound(f"No such image: {ref}")

    return [one.id for one in imageview.select(images, filters, resolve)]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["new", "mid", "old"]),
        ({"dangling": ["true"]}, ["new"]),
        ({"dangling": ["false"]}, ["mid", "old"]),
        ({"reference": ["redis"]}, ["old"]),
        ({"reference": ["red*:?"]}, ["old"]),
        ({"reference": ["*"]}, ["old"]),
        ({"reference": ["registry:5000/*/app"]}, ["mid"]),
        ({"reference": ["[qr]edis:7", "x"]}, ["old"]),
        ({"label": ["l=image"]}, ["new", "mid", "old"]),
        ({"label": ["none"]}, []),
        ({"before": ["mid"]}, ["old"]),
        ({"since": ["mid"]}, ["new"]),
        ({"until": [f"{MADE // 10**9}.000000001"]}, ["old"]),
    ],
)
def test_filters(filters: dict[str, list[str]], found: list[str]) -> None:
    assert chosen(**filters) == found


def test_removed() -> None:
    def event(action: str, ident: str, **attributes: str) -> Event:
        return Event(
            seq=1,
            time=1,
            monotonic=1,
            boot_id="",
            tenant="docker",
            type="image",
            action=action,
            id=ident,
            attributes=attributes,
        )

    events = [event("untag", IMAGE_ID, name="docker.io/library/redis:7"), event("delete", IMAGE_ID)]
    assert imageview.removed(events) == [{"Untagged": "redis:7"}, {"Deleted": IMAGE_ID}]


# pulls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tag", "reference"),
    [
        ("redis", "7", "docker.io/library/redis:7"),
        ("redis:6", "7", "docker.io/library/redis:7"),
        ("redis:6", "", "docker.io/library/redis:6"),
        ("h:5000/a/b", "latest", "h:5000/a/b:latest"),
        ("redis", "sha256:" + "1" * 64, "docker.io/library/redis@sha256:" + "1" * 64),
        ("redis@sha256:" + "1" * 64, "x", "docker.io/library/redis@sha256:" + "1" * 64),
    ],
)
def test_what_is_pulled(name: str, tag: str, reference: str) -> None:
    assert str(pull.pulled_reference(name, tag)) == reference


def test_all_tags() -> None:
    assert pull.wants_all("redis", "")
    assert pull.wants_all("h:5000/redis", "")
    assert not pull.wants_all("h:5000/redis:7", "")
    assert not pull.wants_all("redis", "latest")
    with pytest.raises(InvalidArgument):
        pull.pulled_reference("", "latest")


def header(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("given", "auth"),
    [
        ("", None),
        (header("{}"), None),
        (header('{"auth":""}'), None),
        ("no base64!", None),
        (header("no json"), None),
        (header('{"username":"u","password":"p?>"}'), Auth(username="u", password="p?>")),
        (
            header('{"username":"u","password":"p?>"}').rstrip("="),
            Auth(username="u", password="p?>"),
        ),
        (header('{"identitytoken":"t"}'), Auth(identity_token="t")),
    ],
)
def test_credentials(given: str, auth: Auth | None) -> None:
    assert pull.auth(given) == auth


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (Progress(id="", status="Digest: x"), {"status": "Digest: x"}),
        (
            Progress(id="ab", status="Pull complete"),
            {"status": "Pull complete", "progressDetail": {}, "id": "ab"},
        ),
        (
            Progress(id="ab", status="Downloading", current=500, total=1000),
            {
                "status": "Downloading",
                "progressDetail": {"current": 500, "total": 1000},
                "id": "ab",
                "progress": f"[{'=' * 25}>{' ' * 25}]     500B/1kB",
            },
        ),
    ],
)
def test_progress(step: Progress, shown: dict[str, Any]) -> None:
    assert pull.message(step) == shown
