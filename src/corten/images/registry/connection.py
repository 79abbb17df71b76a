"""Requests to one registry: authentication, redirects, the fall-back to plain HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import urljoin, urlsplit

import aiohttp

import corten
from corten.errors import CortenError, Unauthenticated, Unavailable
from corten.images.registry import challenge, hosts, problems, tokens
from corten.images.registry.challenge import Challenge
from corten.images.registry.hosts import Endpoint
from corten.images.settings import Settings
from corten.images.types import Auth

Body = Callable[[], AsyncIterator[bytes] | bytes]

_REDIRECTS = 10
_CONNECT = 15.0  # seconds for DNS, TCP and TLS
_BUFFER = 1 << 18
_REDIRECTED = (301, 302, 303, 307, 308)
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)


def session(settings: Settings) -> aiohttp.ClientSession:
    """The connections of one daemon. The caller closes it."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        read_bufsize=_BUFFER,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=_CONNECT, sock_read=settings.stall_seconds
        ),
        headers={"User-Agent": f"corten/{corten.__version__}", "Accept-Encoding": "identity"},
    )


class Connection:
    """A registry as one user sees it, for the time of one pull."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        domain: str,
        path: str,
        auth: Auth | None,
        settings: Settings,
    ) -> None:
        """Arguments:
        domain, path: of a reference; the token is asked for this repository. Without a path
            it is a mere look at whether the registry knows the user.
        """
        self._http = http
        self._endpoints = hosts.endpoints(domain, settings)
        self._settings = settings
        self._auth = auth
        self._scope = challenge.pull_scope(path) if path else ""
        self._authorization: dict[str, tuple[str, float]] = {}
        self._challenges: dict[str, Challenge] = {}
        self._guard = asyncio.Lock()
        self.authenticated = tokens.has_credentials(auth)
        self.path = path

    @property
    def mirrors(self) -> tuple[Endpoint, ...]:
        """Places to ask first; they may fail without harm."""
        return tuple([e for e in self._endpoints if e.mirror])

    @property
    def origins(self) -> tuple[Endpoint, ...]:
        """The registry itself: with TLS, then without, where that is allowed."""
        return tuple([e for e in self._endpoints if not e.mirror])

    def settle(self, endpoint: Endpoint) -> None:
        """This one speaks: the others need not be tried again."""
        if not endpoint.mirror:
            self._endpoints = (*self.mirrors, endpoint)

    # requests --------------------------------------------------------------------------
    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        downgrade: bool = False,
    ) -> aiohttp.ClientResponse:
        """One request, authenticated where the registry asks for it, redirects followed.

        Arguments:
            path: below ``/v2/REPOSITORY/``.
            downgrade: a redirect may lead from TLS to plain HTTP: the caller checks the digest.
        Returns:
            an answer of any status; the caller closes it.
        Raises:
            aiohttp.ClientError, TimeoutError, OSError: the caller decides about a retry.
            Unauthenticated: no token is to be had.
        """
        url = f"{endpoint.base}/v2/{self.path}/{path}"
        known = self._authorization.get(endpoint.base)
        response = await self._follow(endpoint, method, url, headers, known, downgrade)
        if response.status != 401:
            return response
        header = ", ".join(response.headers.getall("WWW-Authenticate", []))
        if not await self._authenticate(endpoint, header, known):
            return response
        response.close()
        known = self._authorization.get(endpoint.base)
        return await self._follow(endpoint, method, url, headers, known, downgrade)

    async def send(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
    ) -> aiohttp.ClientResponse:
        """One request to a URL that the registry named, with a body; not redirected.

        Arguments:
            url: absolute, or relative to the registry. Another host's gets no credentials.
            body: called for each attempt: one without the right token comes first, maybe.
        """
        url = urljoin(f"{endpoint.base}/", url)
        ours = _origin(url) == _origin(endpoint.base)
        for _ in range(2):
            known = self._authorization.get(endpoint.base) if ours else None
            sent = dict(headers) | ({"Authorization": known[0]} if known else {})
            response = await self._send(endpoint, method, url, sent, body)
            if response.status != 401 or not ours:
                return response
            header = ", ".join(response.headers.getall("WWW-Authenticate", []))
            if not await self._authenticate(endpoint, header, known):
                return response
            response.close()
        known = self._authorization.get(endpoint.base)
        sent = dict(headers) | ({"Authorization": known[0]} if known else {})
        return await self._send(endpoint, method, url, sent, body)

    async def _follow(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: tuple[str, float] | None,
        downgrade: bool,
    ) -> aiohttp.ClientResponse:
        sent = dict(headers)
        if authorization is not None:
            sent["Authorization"] = authorization[0]
        for _ in range(_REDIRECTS):
            response = await self._send(endpoint, method, url, sent)
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTED or not location:
                return response
            response.close()
            following = urljoin(url, location)
            _check_redirect(url, following, downgrade or not endpoint.verify)
            if _origin(following) != _origin(url):
                # What the registry may see, its storage may not.
                sent.pop("Authorization", None)
            url = following
        raise Unavailable("too many redirects", step="pull", path=problems.shown_url(url))

    async def _send(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
    ) -> aiohttp.ClientResponse:
        return await self._http.request(
            method,
            url,
            headers=headers,
            data=None if body is None else body(),
            allow_redirects=False,
            proxy=hosts.proxy_for(url),
            ssl=endpoint.verify,
        )

    # authentication --------------------------------------------------------------------
    async def _authenticate(
        self, endpoint: Endpoint, header: str, refused: tuple[str, float] | None
    ) -> bool:
        """Get what a 401 asks for; False where there is nothing that could help."""
        auth = None if endpoint.mirror else self._auth
        async with self._guard:  # of many layers at once one asks for the token
            current = self._authorization.get(endpoint.base)
            if current is not None and current != refused:
                return True
            found = challenge.pick(challenge.parse(header))
            if found is None:
                return False
            if auth is not None and auth.registry_token:
                value = (f"Bearer {auth.registry_token}", float("inf"))
                if refused == value:
                    return False
            elif found.scheme == "basic":
                if auth is None or not auth.username or refused is not None:
                    return False
                value = (tokens.basic(auth), float("inf"))
            else:
                value = await self._token(endpoint, found, auth)
                if refused is not None and value[0] == refused[0]:
                    return False
            self._authorization[endpoint.base] = value
            return True

    async def _token(
        self, endpoint: Endpoint, found: Challenge, auth: Auth | None
    ) -> tuple[str, float]:
        tls = endpoint.verify
        wanted = tokens.request(found, self._scope, auth, tls=tls)
        host = urlsplit(wanted.url).netloc.rpartition("@")[2]
        insecure = not endpoint.verify or hosts.is_insecure(host, self._settings)
        try:
            async with self._http.request(
                "GET" if wanted.form is None else "POST",
                wanted.url,
                data=wanted.form,
                headers=wanted.headers,
                allow_redirects=False,
                proxy=hosts.proxy_for(wanted.url),
                ssl=not insecure,
            ) as response:
                body = await response.content.read(problems.BODY_LIMIT)
                status = response.status
        except _BROKEN as error:
            raise problems.from_exception(error, host) from None
        if status != 200:
            raise self._refused(status, body, wanted.url, host)
        token, until = tokens.answer(body, time.monotonic())
        return f"Bearer {token}", until

    def _refused(self, status: int, body: bytes, url: str, host: str) -> CortenError:
        if status in (400, 401, 403) and self.authenticated:
            _, message = problems.details(body)
            return Unauthenticated(
                f"{host} refuses the credentials" + (f": {message}" if message else ""),
                step="authenticate",
                path=host,
                hint="log in again: docker login",
            )
        return problems.from_status(
            status, body, url, what=self.path, authenticated=self.authenticated
        )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def _check_redirect(url: str, following: str, downgrade: bool) -> None:
    parts = urlsplit(following)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unavailable(
            f"the registry redirects to {parts.scheme or 'nowhere'}",
            step="pull",
            path=problems.shown_url(url),
        )
    if not downgrade and parts.scheme == "http" and urlsplit(url).scheme == "https":
        raise Unavailable(
            "the registry redirects from TLS to plain HTTP: refused",
            step="pull",
            path=problems.shown_url(following),
        )
