"""Dockerfile instructions in ``--change``, and what archives say about themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corten.errors import InvalidArgument
from corten.images import archive_docs, documents
from corten.spec.descriptor import from_document


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("cmd a b", "Cmd", ["/bin/sh", "-c", "a b"]),
        ("ENTRYPOINT [\"e\"]", "Entrypoint", ["e"]),
        ("ENV A=1 B='x y'", "Env", ["OLD=1", "A=1", "B=x y"]),
        ("ENV OLD new value", "Env", ["OLD=new value"]),
        ("EXPOSE 80 53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ("LABEL a=b c=\"d e\"", "Labels", {"a": "b", "c": "d e"}),
        ("USER www", "User", "www"),
        ('VOLUME ["/a", "/b"]', "Volumes", {"/a": {}, "/b": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("WORKDIR sub", "WorkingDir", "/old/sub"),
        ("WORKDIR /new", "WorkingDir", "/new"),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD x y", "Healthcheck", {"Test": ["CMD-SHELL", "x y"]}),
    ],
)  # fmt: skip
def test_changes(line: str, key: str, value: object) -> None:
    config: dict[str, Any] = {"Env": ["OLD=1"], "WorkingDir": "/old"}
    documents.change(config, line)
    assert config[key] == value


@pytest.mark.parametrize("line", ["RUN x", "FROM y", "CMD", "EXPOSE x", "ENV A", "LABEL 'a", ""])
def test_changes_that_cannot_be(line: str) -> None:
    with pytest.raises(InvalidArgument):
        documents.change({}, line)


def test_committed() -> None:
    base = {"os": "linux", "config": {"Env": ["A=1"]}, "history": [{"created_by": "x"}],
            "rootfs": {"diff_ids": ["d"]}}  # fmt: skip
    made = documents.committed(
        base, {"Cmd": ["sh"]}, ["ENV B=2"], author="me", comment="why", created_by="sh", now=0
    )
    assert made["config"] == {"Env": ["A=1", "B=2"], "Cmd": ["sh"]}
    assert [step["created_by"] for step in made["history"]] == ["x", "sh"]
    assert base["config"] == {"Env": ["A=1"]}


@pytest.mark.parametrize(
    "document",
    [
        "{", "{}", '[{"Layers": []}]', '[{"Config": "../x", "Layers": []}]', '[{"Config": 1}]',
        '[{"Config": "c", "RepoTags": ["UPPER:x"]}]', '["x"]', "null",
        json.dumps([{"Config": "c"}] * 1001),
    ],
)  # fmt: skip
def test_lists_of_images_that_cannot_be(document: str) -> None:
    with pytest.raises(InvalidArgument):
        archive_docs.parse_manifest_json(document.encode())


def test_members_that_link_in_circles() -> None:
    members = archive_docs.Members({"files": {}, "links": {"a": "b", "b": "a"}})
    assert members.get("a") is None
    with pytest.raises(InvalidArgument):
        members.need("a")


@pytest.mark.parametrize(
    ("notes", "name"),
    [
        ({archive_docs.CONTAINERD_NAME: "docker.io/library/a:1"}, "docker.io/library/a:1"),
        ({archive_docs.REF_NAME: "a:1"}, "docker.io/library/a:1"),
        ({archive_docs.REF_NAME: "latest"}, None),
        ({archive_docs.REF_NAME: "h:5/UPPER"}, None),
        ({}, None),
    ],
)
def test_names_in_layouts(notes: dict[str, str], name: str | None) -> None:
    doc = {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1, "annotations": notes}
    found = archive_docs.name_of(from_document(doc, "it"))
    assert (None if found is None else str(found)) == name
