"""A warm worker stands for its caller, with the caller's rights and not a bit more."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from corten.cli import takeover
from tests.cli_driver import Corten
from tests.conftest import needs_root

NOBODY = 65534
STAFF = 4321  # a group of no account


def become_nobody() -> None:
    os.setgroups([STAFF])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


@pytest.fixture
def bare(warm: Path) -> Corten:
    """Can run a command by the warm worker only."""
    return Corten(warm, bare=True)


@needs_root
def test_files_are_read_as_the_caller(bare: Corten, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("A=1")
    secret.chmod(0o600)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    done = bare("run", "--env-file", str(secret), "img", "seven", preexec_fn=become_nobody)
    assert done.returncode == 125
    assert "Permission denied" in done.stderr
    assert bare("run", "--env-file", str(secret), "img", "seven").returncode == 7


@needs_root
def test_groups_are_the_callers(bare: Corten, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.write_text("A=1")
    os.chown(shared, 0, STAFF)
    shared.chmod(0o640)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    done = bare("run", "--env-file", str(shared), "img", "seven", preexec_fn=become_nobody)
    assert done.returncode == 7


@needs_root
def test_files_are_written_as_the_caller(bare: Corten, tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    for directory in (tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    done = bare(
        "run", "-d", "--cidfile", "id", "img", "hold", cwd=tmp_path, preexec_fn=become_nobody
    )
    assert done.returncode == 0
    assert (tmp_path / "id").stat().st_uid == NOBODY


def test_limits_are_the_callers(bare: Corten, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    done = bare("run", "-d", "--cidfile", str(tmp_path / "id"), "img", "hold",
                preexec_fn=small_files)  # fmt: skip
    assert done.returncode != 0
    assert (tmp_path / "id").stat().st_size <= 10


def wrapped(corten: Corten, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words, *corten.argv, "run", "img", "seven"], env=corten.environ, timeout=30,
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


ELSEWHERE = [
    ("unshare", "-m"),
    ("unshare", "-U", "-r"),
    ("unshare", "-p", "-f"),
    ("setpriv", "--no-new-privs"),
    ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-all"),
]


@needs_root
@pytest.mark.parametrize("words", ELSEWHERE, ids=" ".join)
def test_who_lives_elsewhere_or_has_less_does_it_alone(
    warm: Path, bare: Corten, words: tuple[str, ...]
) -> None:
    assert "No module named 'click'" in wrapped(bare, *words).stderr  # no worker did it
    assert wrapped(Corten(warm), *words).returncode == 7  # and the result is the same


@needs_root
def test_another_version_does_it_alone(warm: Path, bare: Corten) -> None:
    new = "import corten; corten.__version__ = '99'; from corten.cli.thin"
    bare.argv[-1] = bare.argv[-1].replace("from corten.cli.thin", new)
    assert "No module named 'click'" in bare("run", "img", "seven").stderr


@pytest.mark.parametrize(
    ("theirs", "ours", "uid", "expected"),
    [
        ({}, {}, 1000, ""),
        ({"CapEff": "0"}, {}, 1000, ""),
        ({"CapEff": "f"}, {"CapEff": "ff"}, 0, "it has fewer capabilities"),
        ({"CapEff": "ff"}, {"CapEff": "f"}, 0, ""),
        ({"Seccomp": "2"}, {}, 1000, "Seccomp differs"),
        ({"NoNewPrivs": "1"}, {}, 1000, "NoNewPrivs differs"),
        ({"Uid": "5\t5\t5\t5"}, {}, 1000, "its process has changed its user"),
    ],
)
def test_what_is_compared(
    theirs: dict[str, str], ours: dict[str, str], uid: int, expected: str
) -> None:
    same = {"Seccomp": "0", "NoNewPrivs": "0", "Seccomp_filters": "0", "CapEff": "ff"}
    caller = takeover.Caller(1, uid, uid, ())
    found = takeover._restrictions(
        {**same, "Uid": f"{uid}\t{uid}\t{uid}\t{uid}", **theirs}, {**same, **ours}, caller
    )
    assert found == expected


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        (5, 7, 5),
        (resource.RLIM_INFINITY, 7, 7),
        (7, resource.RLIM_INFINITY, 7),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_a_limit_is_never_raised(one: int, other: int, least: int) -> None:
    assert takeover._least(one, other) == least
