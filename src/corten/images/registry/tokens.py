"""Bearer tokens: what to ask a token server for, and what it answered. Without I/O."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode, urlsplit

from corten.errors import InvalidArgument, Unauthenticated
from corten.images.registry.challenge import Challenge
from corten.images.types import Auth
from corten.spec import jsonlite
from corten.spec._struct import Struct

_CLIENT_ID = "corten"
_DEFAULT_LIFETIME = 60.0  # seconds, where the server does not say (token specification)
_MARGIN = 5.0  # a token is not used in its last seconds


class TokenRequest(Struct):
    """One request to a token server.

    Fields:
        form: a body to POST; None for a GET.
        headers: additional ones; may carry credentials.
    """

    url: str
    form: dict[str, str] | None
    headers: dict[str, str]


def basic(auth: Auth) -> str:
    """The value of ``Authorization`` for a user's name and password."""
    raw = f"{auth.username}:{auth.password}".encode()
    return "Basic " + base64.b64encode(raw).decode("ascii")


def has_credentials(auth: Auth | None) -> bool:
    """Whether there is anything to show."""
    return auth is not None and bool(auth.username or auth.identity_token or auth.registry_token)


def request(challenge: Challenge, scope: str, auth: Auth | None, *, tls: bool) -> TokenRequest:
    """What to send to the token server that a challenge names.

    Arguments:
        scope: what is needed, if the challenge does not say.
        tls: whether the registry is spoken to over TLS; then no password leaves without.
    Raises:
        Unauthenticated: the challenge is of no use.
    """
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Unauthenticated(f"the registry names no token server but {realm[:200]!r}")
    if tls and parts.scheme == "http" and has_credentials(auth):
        raise Unauthenticated(
            "the registry wants the password sent to a token server without TLS: refused",
            path=parts.netloc,
        )
    service = challenge.parameters.get("service", "")
    wanted = challenge.parameters.get("scope") or scope
    if auth is not None and auth.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": auth.identity_token,
            "service": service,
            "scope": wanted,
            "client_id": _CLIENT_ID,
        }
        return TokenRequest(url=realm, form=form, headers={})
    query = [("service", service)] if service else []
    if wanted:
        query.append(("scope", wanted))
    headers: dict[str, str] = {}
    if auth is not None and auth.username:
        query += [("account", auth.username), ("client_id", _CLIENT_ID)]
        headers["Authorization"] = basic(auth)
    joint = "" if not query else "&" if parts.query else "?"
    return TokenRequest(url=f"{realm}{joint}{urlencode(query)}", form=None, headers=headers)


def answer(body: bytes, now: float) -> tuple[str, float]:
    """Token and the time (of ``now``'s clock, seconds) until which it is good.

    Raises:
        Unauthenticated: there is none in it.
    """
    try:
        document: Any = jsonlite.loads(body, what="the token server's answer")
    except InvalidArgument as error:
        raise Unauthenticated(error.message, step="authenticate") from None
    token = ""
    lifetime = _DEFAULT_LIFETIME
    if isinstance(document, dict):
        token = document.get("token") or document.get("access_token") or ""
        expires = document.get("expires_in")
        if isinstance(expires, int | float) and expires > 0:
            lifetime = float(expires)
    if not isinstance(token, str) or not token or not token.isprintable():
        raise Unauthenticated("the token server gave no token", step="authenticate")
    return token, now + max(lifetime - _MARGIN, _MARGIN)
