"""The daemon's own matters: configuration, places, readiness."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from corten.daemon import config, places
from corten.daemon.notify import notify
from corten.errors import InvalidArgument


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    found = config.load(str(tmp_path / "none"))
    assert found.daemon.faces == ("api", "docker", "cri")


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        """
        [daemon]
        group = "wheel"
        faces = ["api"]
        [engine]
        log_max_size = "10m"
        [images]
        insecure = ["registry:5000"]
        [network]
        mtu = 1400
        [runtimes.own]
        path = "/opt/own"
        args = ["--debug"]
        """
    )
    found = config.load(str(path))
    assert found.daemon.group == "wheel"
    assert found.images.insecure == ("registry:5000",)
    assert found.network.mtu == 1400
    assert config.runtimes(found)["own"].args == ("--debug",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[daemon]\ngruop = 'x'", "gruop"),
        ("[daemon]\nfaces = ['fax']", "fax"),
        ("[engine]\nlog_max_size = 'big'", "invalid size"),
        ("[engine]\nlog_max_files = 'x'", "int"),
        ("[daemon", "wrong"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=words):
        config.load(str(path))


def test_prefixes(tmp_path: Path) -> None:
    one, two = places.prefix(str(tmp_path / "a")), places.prefix(str(tmp_path / "b"))
    assert one != two
    assert len(one) == 7
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a")
    assert places.prefix(str(link)) == one


def test_sockets_replace_stale_ones_and_have_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    places.listen(str(path), mode=0o660, gid=os.getgid()).close()
    listener = places.listen(str(path), mode=0o600, gid=os.getgid())
    assert path.stat().st_mode & 0o777 == 0o600
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.close()
    listener.close()


def test_readiness_is_told_to_whoever_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify("READY=1")  # nobody asked
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("asked", "booted", "unified", "expected"),
    [
        ("", True, True, "systemd"),
        ("", True, False, "cgroupfs"),
        ("", False, True, "cgroupfs"),
        ("cgroupfs", True, True, "cgroupfs"),
        ("systemd", True, False, "systemd"),
    ],
)
def test_systemd_makes_the_cgroups_where_it_runs_with_v2(
    tmp_path: Path, asked: str, booted: bool, unified: bool, expected: str
) -> None:
    if booted:
        (tmp_path / "run/systemd/system").mkdir(parents=True)
    if unified:
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup/cgroup.controllers").touch()
    file = tmp_path / "config.toml"
    file.write_text(f'[engine]\ncgroup_driver = "{asked}"\n')
    assert config.cgroup_driver(config.load(str(file)), str(tmp_path)) == expected


def test_systemd_that_does_not_run_can_not_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[engine]\ncgroup_driver = "systemd"\n')
    with pytest.raises(InvalidArgument, match="does not run here"):
        config.cgroup_driver(config.load(str(file)), str(tmp_path))
    file.write_text('[engine]\ncgroup_driver = "openrc"\n')
    with pytest.raises(InvalidArgument, match="cgroup_driver"):
        config.load(str(file))
