"""The tables of the networks: every statement that touches them."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection as Connection
from typing import Any, NamedTuple

import msgspec

from corten.networks.types import Attachment, Network

_network = msgspec.json.Decoder(Network)
_attachment = msgspec.json.Decoder(Attachment)
_encode = msgspec.json.encode


class StoredNetwork(NamedTuple):
    network: Network
    cursor4: int  # the address given last, as a number


def networks(connection: Connection) -> list[StoredNetwork]:
    rows = connection.execute("SELECT record, cursor4 FROM networks ORDER BY rowid")
    return [StoredNetwork(_network.decode(record), cursor) for record, cursor in rows]


def put_network(connection: Connection, network: Network) -> None:
    """Insert, or replace the record of the same id."""
    connection.execute(
        "INSERT INTO networks (id, tenant, name, record) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        (network.id, network.tenant, network.name, _encode(network)),
    )


def drop_network(connection: Connection, network_id: str) -> None:
    """Delete, with what its last containers left."""
    connection.execute("DELETE FROM endpoints WHERE network_id = ?", (network_id,))
    connection.execute("DELETE FROM networks WHERE id = ?", (network_id,))


def endpoints(connection: Connection) -> list[Attachment]:
    """Every endpoint, the oldest first."""
    rows = connection.execute("SELECT record FROM endpoints ORDER BY rowid")
    return [_attachment.decode(record) for (record,) in rows]


def add_endpoint(connection: Connection, endpoint: Attachment, cursor4: int) -> None:
    """Insert an endpoint and remember the address that was given."""
    connection.execute(
        "INSERT INTO endpoints (id, network_id, container_id, host_interface, ipv4, ipv6, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            endpoint.id,
            endpoint.network_id,
            endpoint.container_id,
            endpoint.host_interface,
            endpoint.ipv4,
            endpoint.ipv6,
            _encode(endpoint),
        ),
    )
    connection.execute(
        "UPDATE networks SET cursor4 = ? WHERE id = ?", (cursor4, endpoint.network_id)
    )


def put_endpoint(connection: Connection, endpoint: Attachment) -> None:
    """Replace the record of an endpoint: its names have changed."""
    connection.execute(
        "UPDATE endpoints SET record = ? WHERE id = ?", (_encode(endpoint), endpoint.id)
    )


def remove_endpoints(connection: Connection, ids: Iterable[str]) -> None:
    connection.executemany("DELETE FROM endpoints WHERE id = ?", [(i,) for i in ids])


def remember_setting(connection: Connection, path: str, previous: str, value: str) -> None:
    """What a setting of the host was before the first change; later changes keep that."""
    connection.execute(
        "INSERT INTO host_settings VALUES (?, ?, ?)"
        " ON CONFLICT (path) DO UPDATE SET value = excluded.value",
        (path, previous, value),
    )


def forget_setting(connection: Connection, path: str) -> None:
    """It is as it was before."""
    connection.execute("DELETE FROM host_settings WHERE path = ?", (path,))


def settings(connection: Connection) -> list[tuple[str, str, str]]:
    """Path, previous value and our value of every changed setting."""
    return list(connection.execute("SELECT path, previous, value FROM host_settings"))


# --- CNI ----------------------------------------------------------------------------------


class CniRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pod's attachment: the configuration as it was used, so that DEL gets the same."""

    pod_id: str
    netns_path: str
    interface: str
    args: str
    capabilities: dict[str, Any]
    conf: dict[str, Any]
    result: dict[str, Any] = {}


_cni = msgspec.json.Decoder(CniRecord)


def cni_attachments(connection: Connection) -> list[tuple[CniRecord, bool]]:
    """Every pod's attachment, and whether its ADD succeeded."""
    rows = connection.execute("SELECT record, added FROM cni_attachments ORDER BY rowid")
    return [(_cni.decode(record), bool(added)) for record, added in rows]


def put_cni(connection: Connection, record: CniRecord, *, added: bool) -> None:
    connection.execute(
        "INSERT INTO cni_attachments VALUES (?, ?, ?, ?)"
        " ON CONFLICT (pod_id) DO UPDATE SET added = excluded.added, record = excluded.record",
        (record.pod_id, record.netns_path, added, _encode(record)),
    )


def remove_cni(connection: Connection, pod_id: str) -> None:
    connection.execute("DELETE FROM cni_attachments WHERE pod_id = ?", (pod_id,))
