"""Images between a real daemon, a real registry and archives, by docker's client and our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Daemon
from tests.registry.realregistry import PASSWORD, PROGRAM, USER, RealRegistry

TOOLS = ("sh", "cat", "id", "ls", "touch")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    one = RealRegistry(tmp_path_factory.mktemp("registry"), auth="basic")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def box(daemon: Daemon) -> str:
    daemon.corten("image", "from-host", "-t", "box", *TOOLS)
    return "box"


@pytest.mark.parametrize("cli", ["docker", "corten"])
def test_login_push_pull_logout(
    daemon: Daemon, box: str, registry: RealRegistry, cli: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(daemon.base))

    def run(*args: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        return getattr(daemon, cli)(*args, check=check, **options)  # type: ignore[no-any-return]  # either

    name = f"{registry.address}/{cli}/box:1"
    run("tag", box, name)
    config = daemon.base / "config.json"
    refused = run("push", name, check=False)
    assert refused.returncode == 1
    wrong = run("login", "-u", USER, "--password-stdin", registry.address, input="no", check=False)
    assert wrong.returncode == 1 and "401" in wrong.stderr
    done = run("login", "-u", USER, "--password-stdin", registry.address, input=PASSWORD)
    assert "Login Succeeded" in done.stdout
    assert registry.address in json.loads(config.read_text())["auths"]
    assert config.stat().st_mode & 0o77 == 0
    assert "1: digest: sha256:" in run("push", name).stdout
    run("rmi", name)
    run("pull", name)
    run("pull", "-a", name.removesuffix(":1"))
    done = run("logout", registry.address)
    assert done.stdout == f"Removing login credentials for {registry.address}\n"
    assert registry.address not in json.loads(config.read_text()).get("auths", {})
    run("rmi", name)


def test_a_credential_helper(
    daemon: Daemon, registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-t"
    helper.write_text(
        f"#!/bin/sh\ncd {tmp_path}\ncase $1 in store) cat >kept;; get) cat >/dev/null;"
        " [ -e kept ] && cat kept;; erase) rm kept;; esac\n"
    )
    helper.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.json").write_text('{"credsStore": "t", "other": [1]}')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    daemon.corten("login", "-u", USER, "--password-stdin", registry.address, input=PASSWORD)
    assert json.loads((tmp_path / "kept").read_text())["Secret"] == PASSWORD
    written = json.loads((home / "config.json").read_text())
    assert written["auths"] == {registry.address: {}} and written["other"] == [1]
    daemon.corten("logout", registry.address)
    assert not (tmp_path / "kept").exists()


def test_skopeo_reads_what_is_saved(daemon: Daemon, box: str, tmp_path: Path) -> None:
    daemon.docker("save", "-o", str(tmp_path / "s.tar"), box)
    want = daemon.docker("image", "inspect", "-f", "{{.Id}}", box).stdout.strip()
    for kind in ("docker-archive", "oci-archive"):
        done = subprocess.run(
            ["skopeo", "inspect", "--raw", f"{kind}:{tmp_path}/s.tar"],
            check=True,
            capture_output=True,
        )
        assert json.loads(done.stdout)["config"]["digest"] == want


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_loaded(daemon: Daemon, box: str, tmp_path: Path, kind: str) -> None:
    daemon.docker("save", "-o", str(tmp_path / "s.tar"), box)
    target = f"{kind}:{tmp_path}/t.tar:made.example/{kind}:1"
    subprocess.run(["skopeo", "copy", "-q", f"docker-archive:{tmp_path}/s.tar", target], check=True)
    done = daemon.corten("load", "-i", str(tmp_path / "t.tar"))
    assert done.stdout == f"Loaded image: made.example/{kind}:1\n"
    name = f"made.example/{kind}:1"
    assert "uid=0" in daemon.docker("run", "--rm", name, "id").stdout
    daemon.docker("rmi", name)


def test_the_image_host(daemon: Daemon) -> None:
    """This machine's userland without what is private."""
    done = daemon.corten("run", "--rm", "host", "sh", "-c", "ls /usr/bin | wc -l; ls /root /home")
    assert int(done.stdout.split()[0]) > 100 and "/home:\n" in done.stdout
    for path in ("/etc/shadow", "/var/lib/dpkg/status"):
        assert daemon.corten("run", "--rm", "host", "cat", path, check=False).returncode == 1
    done = daemon.corten("run", "--rm", "host", "touch", "/usr/x", check=False)
    assert "Read-only file system" in done.stderr
    (shown,) = json.loads(daemon.corten("image", "inspect", "host").stdout)
    assert shown["RepoDigests"] == [] and "no digest" in shown["Comment"]
    for command in (("push", "host"), ("save", "host"), ("tag", "host", "x"), ("rmi", "host")):
        done = daemon.docker(*command, check=False)
        assert done.returncode == 1 and "it has no digest" in done.stderr
    name = daemon.docker("create", "host").stdout.strip()
    assert "it has no digest" in daemon.docker("commit", name, check=False).stderr
    daemon.docker("rm", name)


def test_sizes(daemon: Daemon, box: str) -> None:
    name = daemon.docker("run", "-d", box, "sh", "-c", "echo x >/f").stdout.strip()
    daemon.docker("wait", name)
    shown = daemon.docker("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", name).stdout
    own, whole = map(int, shown.split())
    assert 0 < own < whole
    assert "virtual" in daemon.docker("ps", "-as", "--format", "{{.Size}}").stdout
    assert "Images" in daemon.corten("system", "df").stdout
    assert name[:12] in daemon.corten("system", "df", "-v").stdout
    done = daemon.corten("system", "prune", "--dry-run")
    assert name in done.stdout and daemon.docker("ps", "-aq").stdout
    daemon.corten("system", "prune", "-f")
    assert not daemon.docker("ps", "-aq").stdout
