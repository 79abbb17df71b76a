"""Binds, mounts, tmpfs."""

from __future__ import annotations

import msgspec
import pytest

from corten.dockerapi import mounts
from corten.dockerapi.requests import Mount
from corten.engine.types import MountRequest
from corten.errors import CortenError, InvalidArgument, Unimplemented


def given(text: str) -> MountRequest:
    return mounts.mount(msgspec.json.decode(text, type=Mount))


def test_bind() -> None:
    assert mounts.bind("/a/../b/:/c/") == MountRequest(
        type="bind", source="/b", target="/c", create_source=True
    )
    assert mounts.bind("/b:/c:ro,rslave,Z") == MountRequest(
        type="bind",
        source="/b",
        target="/c",
        create_source=True,
        read_only=True,
        propagation="rslave",
        selinux_relabel=True,
        mode="ro,rslave,Z",
    )


def test_named_volume() -> None:
    assert mounts.bind("data:/c:nocopy") == MountRequest(
        type="volume", source="data", target="/c", no_copy=True, mode="nocopy"
    )
    assert mounts.bind("data:/c", "nfs").driver == "nfs"


def test_volume_mount() -> None:
    text = """{"Type":"volume","Target":"/c","ReadOnly":true,"VolumeOptions":{"Subpath":"a/b",
               "NoCopy":true,"Labels":{"a":"b"},"DriverConfig":{"Name":"local","Options":{}}}}"""
    assert given(text) == MountRequest(
        type="volume",
        target="/c",
        read_only=True,
        mode="z",
        no_copy=True,
        subpath="a/b",
        driver="local",
        driver_options={},
        labels={"a": "b"},
    )


@pytest.mark.parametrize(
    "text", ["/c", ":/c", "/a:", "/a:c", "/a:/", "/a:/c:no", "/a:/c:ro,rw", "/a:/b:/c:ro"]
)
def test_bad_bind(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid"):
        mounts.bind(text)


def test_bind_mount() -> None:
    text = """{"Type":"bind","Source":"/a","Target":"/c","ReadOnly":true,
               "BindOptions":{"Propagation":"rshared","CreateMountpoint":true}}"""
    assert given(text) == MountRequest(
        type="bind",
        source="/a",
        target="/c",
        read_only=True,
        recursive_read_only=True,
        propagation="rshared",
        create_source=True,
    )


def test_read_only_without_what_lies_below() -> None:
    text = """{"Type":"bind","Source":"/a","Target":"/c","ReadOnly":true,
               "BindOptions":{"NonRecursive":true,"ReadOnlyNonRecursive":true}}"""
    mount = given(text)
    assert not mount.recursive_read_only
    assert mount.options == ("bind",)


def test_tmpfs_mount() -> None:
    text = """{"Type":"tmpfs","Target":"/t","TmpfsOptions":
               {"SizeBytes":1048576,"Mode":448,"Options":[["exec"],["uid","7"]]}}"""
    assert given(text).options == (
        "nosuid",
        "nodev",
        "size=1048576",
        "mode=700",
        "exec",
        "uid=7",
    )


def test_tmpfs_of_the_command_line() -> None:
    assert mounts.tmpfs({"/t": "", "/u": "size=1m,noexec"}) == [
        MountRequest(type="tmpfs", target="/t", options=("noexec", "nosuid", "nodev")),
        MountRequest(type="tmpfs", target="/u", options=("nosuid", "nodev", "size=1m", "noexec")),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ('{"Type":"bind","Source":"/a"}', InvalidArgument, "Target must not be empty"),
        ('{"Type":"bind","Target":"/c"}', InvalidArgument, "Source must not be empty"),
        ('{"Type":"bind","Source":"a","Target":"/c"}', InvalidArgument, "must be absolute"),
        ('{"Type":"bind","Source":"/a","Target":"c"}', InvalidArgument, "must be absolute"),
        ('{"Type":"tmpfs","Source":"/a","Target":"/c"}', InvalidArgument, "Source must not"),
        ('{"Type":"other","Target":"/c"}', InvalidArgument, "mount type unknown"),
        ('{"Target":"/c"}', InvalidArgument, "mount type unknown"),
        ('{"Type":"tmpfs","Target":"/c","BindOptions":{}}', InvalidArgument, "BindOptions"),
        ('{"Type":"image","Source":"x","Target":"/c"}', Unimplemented, "type image"),
        (
            '{"Type":"bind","Source":"/a","Target":"/c","BindOptions":{"Propagation":"x"}}',
            InvalidArgument,
            "invalid propagation mode: x",
        ),
        (
            '{"Type":"volume","Source":"v","Target":"/c","VolumeOptions":{"Subpath":"../x"}}',
            InvalidArgument,
            "subpath",
        ),
    ],
)
def test_bad_mount(text: str, kind: type[CortenError], words: str) -> None:
    with pytest.raises(kind, match=words):
        given(text)
