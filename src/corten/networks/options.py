"""The options of a bridge network, in docker's words. No I/O."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from corten.errors import InvalidArgument
from corten.networks.types import Network, NetworkSpec

_BRIDGE = "com.docker.network.bridge."
_NAME = f"{_BRIDGE}name"
_ICC = f"{_BRIDGE}enable_icc"
_MASQUERADE = f"{_BRIDGE}enable_ip_masquerade"
_HOST_IP = f"{_BRIDGE}host_binding_ipv4"
_MTU = "com.docker.network.driver.mtu"
_PREFIX = "com.docker.network.container_iface_prefix"
_NAME_BYTES = 15
_TRUE = ("1", "t", "T", "TRUE", "true", "True", "")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Options(NamedTuple):
    """What of a network's options the driver heeds; the others are kept and shown.

    Fields:
        name: of the bridge; empty: chosen.
        talk: containers may speak to each other.
        masquerade: what leaves the host bears the host's address.
        host_ip: where ports are published that name no address.
        mtu: bytes; 0: not given.
        prefix: of the interfaces' names inside.
    """

    name: str = ""
    talk: bool = True
    masquerade: bool = True
    host_ip: str = ""
    mtu: int = 0
    prefix: str = "eth"

    @classmethod
    def of(cls, network: Network | NetworkSpec) -> Options:
        """Read and check them.

        Raises:
            InvalidArgument: a value that can't be.
        """
        given = network.options
        return cls(
            name=_interface(given.get(_NAME, "")),
            talk=_boolean(given, _ICC),
            masquerade=_boolean(given, _MASQUERADE),
            host_ip=_address(given.get(_HOST_IP, "")),
            mtu=_number(given.get(_MTU, "")),
            prefix=_interface(given.get(_PREFIX, "")) or "eth",
        )


def _interface(name: str) -> str:
    if len(name.encode()) > _NAME_BYTES or any(c.isspace() or c in "/:" for c in name):
        raise InvalidArgument(f"{name!r} is no name of an interface (at most 15 bytes)")
    return name


def _boolean(given: dict[str, str], key: str) -> bool:
    value = given.get(key)
    if value is None or value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidArgument(f"failed to parse {key} value: {value!r} is neither true nor false")


def _address(text: str) -> str:
    if text:
        try:
            ip_address(text)
        except ValueError:
            raise InvalidArgument(f"{_HOST_IP}: {text!r} is no IP address") from None
    return text


def _number(text: str) -> int:
    if text and not (text.isdecimal() and 68 <= int(text) <= 65535):
        raise InvalidArgument(f"{_MTU}: {text!r} is no size of a packet (68 to 65535)")
    return int(text or 0)
