"""Credentials for registries, from docker's ``config.json`` and its helpers."""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from pathlib import Path
from typing import Any

from corten.cli.names import registry
from corten.errors import CortenError, Unauthenticated
from corten.spec import jsonlite

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_HELPER_DEADLINE = 60  # seconds; a helper may ask its user


def default_path() -> Path:
    """Where docker's config.json lies for whoever calls."""
    return Path("~/.docker/config.json").expanduser()


def config_path() -> Path:
    """The file that is read and written: ``$DOCKER_CONFIG/config.json``, or the default."""
    directory = os.environ.get("DOCKER_CONFIG")
    return Path(directory, "config.json") if directory else default_path()


def key_of(server: str) -> str:
    """What a registry is called in the file."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    return _HUB_KEYS[0] if host in ("", *_HUB_KEYS, "registry-1.docker.io") else host


def store(key: str, username: str, password: str) -> str:
    """Keep credentials, with the helper that the file names, or in the file itself.

    Returns:
        the file where the password lies in the clear; empty: nowhere.
    """
    config = _read(config_path())
    helper = config.get("credHelpers", {}).get(key) or config.get("credsStore")
    entries = config.setdefault("auths", {})
    if helper:
        secret = {"ServerURL": key, "Username": username, "Secret": password}
        _run_helper(helper, "store", jsonlite.dumpb(secret))
        entries[key] = {}
    else:
        text = base64.b64encode(f"{username}:{password}".encode()).decode()
        entries[key] = {"auth": text}
    _write(config_path(), config)
    return "" if helper else str(config_path())


def erase(key: str) -> bool:
    """Forget a registry's credentials; whether there were any."""
    config = _read(config_path())
    helper = config.get("credHelpers", {}).get(key) or config.get("credsStore")
    known = config.get("auths", {}).pop(key, None) is not None
    if helper:
        known = _run_helper(helper, "erase", key.encode()) or known
    if known:
        _write(config_path(), config)
    return known


def _run_helper(helper: str, verb: str, data: bytes) -> bool:
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", verb],
            input=data, capture_output=True, timeout=_HELPER_DEADLINE, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unauthenticated(
            f"docker-credential-{helper} is not installed",
            hint="docker's config.json names it in credsStore or credHelpers",
        ) from None
    if done.returncode and verb == "store":
        said = done.stdout.decode("utf-8", "replace").strip()[:200]
        raise Unauthenticated(f"docker-credential-{helper} did not store the password: {said}")
    return not done.returncode


def _write(path: Path, config: dict[str, Any]) -> None:
    """By rename: nobody sees half a file, and nobody else may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = Path(os.path.realpath(path))  # a link to it stays one
    partial = target.with_name(f".{target.name}-{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o600), "w") as file:
        file.write(jsonlite.pretty(config, "\t") + "\n")
    partial.rename(target)


def for_image(name: str, default: Path) -> dict[str, str] | None:
    """What to authenticate with at the registry of a canonical image name; None: nothing."""
    directory = os.environ.get("DOCKER_CONFIG")
    config = _read(Path(directory, "config.json") if directory else default)
    host = registry(name)
    keys = _HUB_KEYS if host == "docker.io" else (host, f"https://{host}", f"http://{host}")
    for key in keys:
        helper = config.get("credHelpers", {}).get(key)
        if helper:
            return _ask_helper(helper, key)
    for key in keys:
        entry = config.get("auths", {}).get(key)
        if entry and entry.get("auth"):
            return _decode(entry, key)
        if entry and entry.get("identitytoken"):
            return {"identity_token": entry["identitytoken"]}
    store = config.get("credsStore")
    return _ask_helper(store, keys[0]) if store else None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = jsonlite.loads(path.read_bytes(), what=str(path))
    except OSError:
        return {}
    return value if isinstance(value, dict) else {}


def _decode(entry: dict[str, str], key: str) -> dict[str, str]:
    try:
        text = base64.b64decode(entry["auth"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated(
            f"the credentials for {key} in docker's config.json are not base64",
            hint="docker login writes them anew",
        ) from None
    username, _, password = text.partition(":")
    found = {"username": username, "password": password.rstrip("\0")}
    if entry.get("identitytoken"):
        found["identity_token"] = entry["identitytoken"]
    return found


def _ask_helper(helper: str, key: str) -> dict[str, str] | None:
    """``docker-credential-HELPER get``: None if it knows nothing of this registry."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=key.encode(), capture_output=True, timeout=_HELPER_DEADLINE, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unauthenticated(
            f"docker-credential-{helper} is not installed",
            hint="docker's config.json names it in credsStore or credHelpers",
        ) from None
    except subprocess.TimeoutExpired:
        raise Unauthenticated(f"docker-credential-{helper} does not answer") from None
    if done.returncode:
        return None
    try:
        answer = jsonlite.loads(done.stdout)
    except CortenError:
        return None
    username, secret = answer.get("Username", ""), answer.get("Secret", "")
    if username == "<token>":
        return {"identity_token": secret}
    return {"username": username, "password": secret}
