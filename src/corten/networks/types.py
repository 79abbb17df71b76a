"""The records of `networks`: what the engine asks for and what it gets back."""

from __future__ import annotations

import socket
from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the records; all but :class:`Listener` and :class:`Attached` go to JSON."""


class Port(Record, frozen=True, kw_only=True):
    """One published port, with the fields of ``engine.types.PortBinding``.

    Fields:
        host_ip: address to publish at; ``""`` means every IPv4 and IPv6 address.
        host_port: 0 lets the service choose.
        host_port_end: the last of a range from which the first free one is taken; 0: no range.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0


class NetworkSpec(Record, frozen=True, kw_only=True):
    """What is asked for when a network is made.

    Fields:
        subnet4, subnet6: CIDR; empty: chosen. ``gateway4`` and so on: empty: the first address.
        range4, range6: the part of the subnet that addresses are chosen from; empty: all.
        aux: addresses set aside, by name.
        mtu: bytes; 0: the daemon's.
        internal: no way to the outside, in or out.
        options: the driver's, as ``com.docker.network.…``.
    """

    name: str
    driver: str = "bridge"
    subnet4: str = ""
    gateway4: str = ""
    range4: str = ""
    ipv6: bool = False
    subnet6: str = ""
    gateway6: str = ""
    range6: str = ""
    aux: dict[str, str] = {}
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    ipam_options: dict[str, str] | None = None


class Network(Record, frozen=True, kw_only=True):
    """A network as ``docker network inspect`` shows it; see :class:`NetworkSpec`.

    Fields:
        driver: ``bridge``, ``host`` or ``null``.
        interface: the bridge's name on the host; empty for other drivers.
        subnet4: in CIDR form, ``172.17.0.0/16``; ``subnet6`` is empty without IPv6.
        own_subnet4, own_subnet6: the user chose it, so that addresses may be asked for.
        own_gateway6: so it is shown, as dockerd does.
        built_in: one of the three that there always are.
        mtu: bytes.
        nat: ``nftables``, or ``relay`` where the kernel has no usable nf_tables: then
            published ports work through the monitors' relay and containers reach only
            what the host's own rules let through; ``nat_problem`` says why.
    """

    id: str
    name: str
    driver: str
    tenant: str = "docker"
    interface: str = ""
    subnet4: str = ""
    gateway4: str = ""
    range4: str = ""
    subnet6: str = ""
    gateway6: str = ""
    range6: str = ""
    own_subnet4: bool = False
    own_subnet6: bool = False
    own_gateway6: bool = False
    aux: dict[str, str] = {}
    built_in: bool = False
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    ipam_options: dict[str, str] | None = None
    mtu: int = 0
    created_at: int = 0
    nat: str = ""
    nat_problem: str = ""


class Attachment(Record, frozen=True, kw_only=True):
    """One interface of a container on a network; the fields of ``engine.types.Endpoint``.

    Fields:
        id: the endpoint's id, 64 hex digits; never used twice.
        interface: name inside the container.
        host_interface: name of the veth's end on the host; never used twice at once.
        names: under which the other containers of the network find it; the first is the
            one that its addresses are called.
        links: ``NAME:ALIAS``, aliases of others that this container alone knows.
        ports: as bound: every ``host_port`` and ``host_ip`` is set. A port published at
            ``""`` gives two entries, ``0.0.0.0`` and ``::``.
    """

    id: str
    container_id: str
    network: str
    network_id: str
    interface: str
    host_interface: str
    mac_address: str
    ipv4: str
    ipv4_prefix: int
    gateway4: str
    ipv6: str = ""
    ipv6_prefix: int = 0
    gateway6: str = ""
    names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()


class Wanted(Record, frozen=True, kw_only=True):
    """How a container is to be connected to a network.

    Fields:
        ipv4, ipv6: addresses asked for; empty: chosen.
        interface: name inside; empty: the first that is free.
        default_route: what is elsewhere goes by this network.
        names, links: see :class:`Attachment`.
    """

    mac_address: str = ""
    ipv4: str = ""
    ipv6: str = ""
    interface: str = ""
    default_route: bool = True
    names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()


class Listener(Record, frozen=True, kw_only=True):
    """A bound socket of a published port, for the container's monitor.

    TCP sockets listen already. The owner of the record closes the socket, after it was
    handed over; the port stays taken until the monitor ends.

    Fields:
        target: address and port inside the container to which loopback traffic goes.
    """

    port: Port
    socket: socket.socket
    target: tuple[str, int]


class Attached(Record, frozen=True, kw_only=True):
    """What :meth:`BridgeDriver.attach` gives: the record, and sockets for the monitor."""

    attachment: Attachment
    listeners: tuple[Listener, ...] = ()

    def close(self) -> None:
        """Close our copies of the sockets; idempotent."""
        for listener in self.listeners:
            listener.socket.close()


class PodPort(Record, frozen=True, kw_only=True):
    """A ``hostPort`` of a pod; CNI's ``portMappings`` capability."""

    container_port: int
    host_port: int
    protocol: str = "tcp"
    host_ip: str = ""


class PodDns(Record, frozen=True, kw_only=True):
    """A pod's resolver settings; CNI's ``dns`` capability."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class PodNetwork(Record, frozen=True, kw_only=True):
    """What CNI plugins made for a pod.

    Fields:
        netns_path: where the namespace is pinned, ``S/netns/cni-UUID``.
        ips: addresses without prefix length, the primary one first.
        result: the last plugin's result, as it is cached.
    """

    pod_id: str
    network: str
    interface: str
    netns_path: str
    ips: tuple[str, ...]
    result: dict[str, Any]


class PodNetworkStatus(Record, frozen=True, kw_only=True):
    """Whether pods can get a network now; CRI's ``NetworkReady``."""

    ready: bool
    name: str = ""
    reason: str = ""
    message: str = ""


class NetworkConfig(Record, frozen=True, kw_only=True):
    """Settings of a daemon's networks.

    Fields:
        subnet4: of the default bridge, CIDR; empty: the first free one of the pools.
        pools: pairs of a CIDR and the prefix length of the subnets cut from it.
        mtu: bytes; 0: that of the default route's interface.
        cni_conf_dir: where the networks of pods are configured.
        cni_bin_dirs: where the CNI plugins' programs lie; the first that has one.
        cni_timeout: seconds for one plugin.
    """

    subnet4: str = ""
    pools: tuple[tuple[str, int], ...] = (
        ("172.17.0.0/16", 16),
        ("172.18.0.0/15", 16),
        ("172.20.0.0/14", 16),
        ("172.24.0.0/13", 16),
        ("192.168.0.0/16", 20),
    )
    mtu: int = 0
    cni_conf_dir: str = "/etc/cni/net.d"
    cni_bin_dirs: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni")
    cni_timeout: float = 60.0
