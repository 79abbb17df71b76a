"""Which base URLs stand for a registry's name, best first."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from corten.images.settings import Settings
from corten.spec._struct import Struct
from corten.spec.reference import DEFAULT_DOMAIN

_DEFAULT_HOST = "registry-1.docker.io"


class Endpoint(Struct):
    """One place to ask.

    Fields:
        base: URL without a trailing slash, as ``https://registry-1.docker.io``.
        host: ``host[:port]``, for messages.
        verify: whether its certificate must be vouched for.
        mirror: credentials of the user are not for it.
    """

    base: str
    host: str
    verify: bool = True
    mirror: bool = False


def endpoints(domain: str, settings: Settings) -> tuple[Endpoint, ...]:
    """The endpoints for a reference's domain: mirrors, TLS, and plain HTTP where allowed."""
    found = []
    if domain == DEFAULT_DOMAIN:
        for url in settings.mirrors:
            host = urlsplit(url).netloc
            verify = not is_insecure(host, settings)
            found.append(Endpoint(base=url.rstrip("/"), host=host, verify=verify, mirror=True))
        domain = _DEFAULT_HOST
    if not is_insecure(domain, settings):
        return (*found, Endpoint(base=f"https://{domain}", host=domain))
    return (
        *found,
        Endpoint(base=f"https://{domain}", host=domain, verify=False),
        Endpoint(base=f"http://{domain}", host=domain, verify=False),
    )


def is_insecure(domain: str, settings: Settings) -> bool:
    """Whether a registry may do without TLS, or with a certificate nobody vouches for.

    Loopback addresses are (127.0.0.0/8, ::1, ``localhost``), and what the settings list.
    """
    host = _host(domain)
    if host == "localhost" or domain in settings.insecure or host in settings.insecure:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    for entry in settings.insecure:
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def _host(domain: str) -> str:
    if domain.startswith("["):
        return domain[1:].partition("]")[0]
    return domain.partition(":")[0]


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL. (Not aiohttp's ``trust_env``: it would send
    the passwords of ``~/.netrc``.)"""
    parts = urlsplit(url)
    proxies = getproxies()
    if not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2], proxies):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")
