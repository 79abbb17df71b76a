"""A token server whose tokens docker-registry accepts: JSON web tokens signed by openssl.

Distribution's "Token Authentication Specification"; the key comes in the header as ``x5c``.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.registry.realregistry import PASSWORD, USER

_ISSUER, _SERVICE = "test-issuer", "test-service"


def make_certificate(base: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    certificate, key = base / "cert.pem", base / "key.pem"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


class TokenServer:
    """Use as ``async with``; gives pull tokens to anybody, push tokens to the user."""

    def __init__(self, base: Path) -> None:
        self.certificate, self._key = make_certificate(base)
        self.asked: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> TokenServer:
        app = web.Application()
        app.router.add_get("/token", self._token)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def registry_config(self) -> str:
        """The ``auth`` section of the registry that trusts us."""
        fields = {
            "realm": self.url,
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self.certificate),
        }
        return "auth: {token: " + json.dumps(fields) + "}"

    async def _token(self, request: web.Request) -> web.Response:
        scopes = request.query.getall("scope", [])
        self.asked += scopes
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        sent = request.headers.get("Authorization", "")
        if sent and sent != f"Basic {basic}":
            return web.json_response({"details": "incorrect username or password"}, status=401)
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = [a for a in actions.split(",") if sent or (a == "pull" and "open" in name)]
            access.append({"type": kind, "name": name, "actions": allowed})
        return web.json_response({"token": self._sign(access), "expires_in": 300})

    def _sign(self, access: list[dict[str, Any]]) -> str:
        lines = self.certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines[1:-1])]}
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": "",
            "aud": _SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
            "access": access,
        }
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self._key)],
            input=signed.encode(),
            check=True,
            capture_output=True,
        ).stdout
        return f"{signed}.{_encode(signature)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
