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
