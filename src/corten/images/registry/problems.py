"""What a registry's answers mean to the user. Bodies are capped, secrets never shown."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from corten.errors import (
    CortenError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from corten.spec import jsonlite

BROKEN = aiohttp.ClientError
BODY_LIMIT = 64 << 10
_SHOWN = 300


def shown_url(url: str) -> str:
    """A URL without credentials, query (signed URLs carry secrets there) and fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def details(body: bytes) -> tuple[str, str]:
    """Code and message of the first error in a body (distribution specification, "Errors")."""
    try:
        document: Any = jsonlite.loads(body[:BODY_LIMIT])
    except InvalidArgument:
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else document
    if not isinstance(first, dict):
        return "", ""
    code = first.get("code", "")
    message = first.get("message", "") or first.get("details", "")
    return (
        code if isinstance(code, str) else "",
        message[:_SHOWN] if isinstance(message, str) else "",
    )


def from_status(
    status: int, body: bytes, url: str, *, what: str, authenticated: bool, step: str = "pull"
) -> CortenError:
    """The error for an answer.

    Arguments:
        what: what was asked for, as ``manifest of redis:nope``.
        authenticated: whether credentials of the user's were sent.
    """
    code, message = details(body)
    said = f": {message or code}" if message or code else ""
    place = shown_url(url)
    host = urlsplit(url).netloc.rpartition("@")[2]
    if status == 404:
        return NotFound(f"{what} not found{said}", step=step, hint=_missing(code))
    if status == 401:
        return Unauthenticated(
            f"{host} wants credentials for {what}{said}"
            if not authenticated
            else f"{host} refuses the credentials for {what}{said}",
            step=step,
            path=place,
            hint=f"log in: docker login {host}",
        )
    if status == 403:
        return denied(what, said, place, authenticated=authenticated, step=step)
    if status == 429:
        return Unavailable(
            f"{host} has had too many requests{said}",
            step=step,
            path=place,
            hint="wait, or log in to have a limit of your own",
        )
    if status >= 500:
        return Unavailable(
            f"{host} has a problem of its own (HTTP {status}){said}",
            step=step,
            path=place,
            hint="try again later",
        )
    return Unavailable(f"{host} answered HTTP {status} for {what}{said}", step=step, path=place)


def denied(
    what: str, said: str, place: str, *, authenticated: bool, step: str = "pull"
) -> CortenError:
    """No access. Registries say so for what does not exist, too, unless somebody logged in."""
    if authenticated:
        return PermissionDenied(
            f"access to {what} is denied{said}", step=step, path=place, hint="ask its owner"
        )
    return NotFound(
        f"{step} access denied for {what}: it does not exist, or needs a login{said}",
        step=step,
        path=place,
        hint="check the name; if it is private: docker login",
    )


def _missing(code: str) -> str:
    if code == "NAME_UNKNOWN":
        return "check the name of the repository"
    if code == "MANIFEST_UNKNOWN":
        return "check the tag"
    return "check the name and the tag"


def from_exception(error: BaseException, host: str) -> Unavailable:
    """The error for a connection that could not be made or broke."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Unavailable(
            f"{host} has a certificate that can't be verified: {_tls_reason(error)}",
            step="connect",
            path=host,
            hint="install its authority's certificate, or list it under [images] insecure",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(
            f"the name {host} can't be resolved",
            step="connect",
            path=host,
            hint="check the name and /etc/resolv.conf",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(
            f"{host} does not answer: {_os_reason(error.os_error)}",
            step="connect",
            path=host,
            errno=error.os_error.errno or 0,
            hint="check that the registry runs and can be reached from here",
        )
    if isinstance(error, asyncio.TimeoutError):
        return Unavailable(
            f"{host} does not answer in time", step="connect", path=host, hint="try again later"
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientPayloadError):
        reason = "it ended in the middle of an answer"
    return Unavailable(
        f"the connection to {host} broke: {reason[:_SHOWN]}",
        step="connect",
        path=host,
        hint="try again",
    )


def _os_reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)[:_SHOWN]


def _tls_reason(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    if isinstance(inner, ssl.SSLError):
        return inner.reason or "TLS failed"
    return str(inner)[:_SHOWN]
