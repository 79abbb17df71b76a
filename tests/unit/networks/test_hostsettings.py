"""Forwarding is switched off again, unless somebody else needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.networks import hostsettings, records
from corten.networks.host import IP_FORWARD
from corten.store import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(str(tmp_path / "corten.db"))
    db.write_blocking(lambda c: records.remember_setting(c, IP_FORWARD, "0", "1"))
    yield db
    db.close()


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    setting = tmp_path / IP_FORWARD.lstrip("/")
    setting.parent.mkdir(parents=True)
    setting.write_text("1\n")
    return setting


def restore(db: Database, root: Path) -> list[str]:
    return hostsettings.restore(db, prefix="corten", root=str(root))


def test_it_is_what_it_was(db: Database, setting: Path, tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/corten0/bridge").mkdir(parents=True)
    assert restore(db, tmp_path) == [f"{IP_FORWARD} is 0 again"]
    assert setting.read_text() == "0"
    assert restore(db, tmp_path) == []


def test_somebody_elses_bridge_may_need_it(db: Database, setting: Path, tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/docker0/bridge").mkdir(parents=True)
    assert restore(db, tmp_path) == [f"{IP_FORWARD} stays 1: the bridge docker0 may need it"]
    assert setting.read_text() == "1\n"


def test_an_administrator_wants_it(db: Database, setting: Path, tmp_path: Path) -> None:
    conf = tmp_path / "etc/sysctl.d/90-router.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("# a router\nnet.ipv4.ip_forward = 1\n")
    assert restore(db, tmp_path) == [f"{IP_FORWARD} stays 1: {conf} asks for it"]
    assert setting.read_text() == "1\n"


def test_what_somebody_changed_meanwhile_stays(db: Database, setting: Path, tmp_path: Path) -> None:
    setting.write_text("0\n")
    assert restore(db, tmp_path) == []
    assert setting.read_text() == "0\n"


def test_what_can_not_be_written_is_said_and_kept(db: Database, tmp_path: Path) -> None:
    assert restore(db, tmp_path) == [f"{IP_FORWARD} stays as it is: No such file or directory"]
    assert db.read(records.settings) == [(IP_FORWARD, "0", "1")]
