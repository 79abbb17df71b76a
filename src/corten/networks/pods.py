"""Pods' networks: pinned namespaces, CNI plugins, and the record of both."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

import msgspec

from corten.errors import CortenError, NotFound
from corten.networks import pins, records
from corten.networks.capabilities import capability_args, kubernetes_args
from corten.networks.cni import Cni, Invocation, find_network
from corten.networks.host import translated
from corten.networks.records import CniRecord
from corten.networks.types import NetworkConfig, PodDns, PodNetwork, PodNetworkStatus, PodPort
from corten.spec import cni
from corten.store.database import Database

_log = logging.getLogger(__name__)
_INTERFACE = "eth0"
_PLUGINS_AT_ONCE = 8

T = TypeVar("T")


class PodNetworks:
    """CNI networks of pods. All methods belong to one event loop.

    A record is written before the namespace is pinned and removed after everything is
    gone, with the configuration as it was used: a DEL speaks of what the ADD made, whatever
    has become of the files meanwhile.
    """

    def __init__(self, *, db: Database, state_dir: str, config: NetworkConfig) -> None:
        self._db = db
        self._directory = os.path.join(os.path.realpath(state_dir), "netns")
        self._conf_dir = config.cni_conf_dir
        self._cni = Cni(config.cni_bin_dirs, timeout=config.cni_timeout)
        self._pool = ThreadPoolExecutor(_PLUGINS_AT_ONCE, thread_name_prefix="cni")
        self._records: dict[str, tuple[CniRecord, bool]] = {}

    async def _call(self, step: str, function: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, translated, step, function, *args)

    # one pod -----------------------------------------------------------------------------
    async def add(
        self,
        pod_id: str,
        *,
        netns_fd: int,
        name: str,
        namespace: str,
        uid: str,
        ports: Sequence[PodPort],
        annotations: dict[str, str],
        dns: PodDns,
        cgroup_path: str,
    ) -> PodNetwork:
        """See ``NetworkService.add_pod``."""
        if (there := self.get(pod_id)) is not None:
            return there
        if pod_id in self._records:  # of an attempt that a crash ended
            await self.remove(pod_id)
        network = await self._call("find CNI network", find_network, self._conf_dir)
        record = CniRecord(
            pod_id=pod_id,
            netns_path=pins.new_path(self._directory),
            interface=_INTERFACE,
            args=kubernetes_args(pod_id, namespace=namespace, name=name, uid=uid),
            capabilities=capability_args(
                ports=ports, annotations=annotations, dns=dns, cgroup_path=cgroup_path
            ),
            conf=_document(network),
        )
        async with AsyncExitStack() as undo:
            await self._save(record, added=False)
            undo.push_async_callback(self._undo, pod_id)
            await self._call("pin namespace", pins.pin, record.netns_path, netns_fd)
            result = await self._call("CNI ADD", self._cni.add, network, _invocation(record))
            await self._save(msgspec.structs.replace(record, result=result), added=True)
            undo.pop_all()
        made = self.get(pod_id)
        assert made is not None
        return made

    async def _save(self, record: CniRecord, *, added: bool) -> None:
        self._records[record.pod_id] = (record, added)
        # On the disk before the plugins leave anything there (leases). The result may be
        # lost with the power: then so is the namespace, and a DEL needs no result.
        await self._db.write(
            partial(records.put_cni, record=record, added=added), durable=not added
        )

    async def _undo(self, pod_id: str) -> None:
        try:
            await self.remove(pod_id)
        except CortenError as error:
            _log.warning("CNI DEL after a failed ADD of pod %s: %s", pod_id, error)

    async def remove(self, pod_id: str) -> None:
        """See ``NetworkService.remove_pod``. If a plugin refuses, the record stays."""
        record, added = self._records.get(pod_id, (None, False))
        if record is None:
            return
        call = _invocation(record)
        if not await self._call("look at pin", pins.is_pinned, record.netns_path):
            call = call._replace(netns="")  # gone with a reboot: what is outside is still to free
        await self._call(
            "CNI DEL", self._cni.delete, _network(record), call, record.result if added else None
        )
        await self._call("unpin namespace", pins.unpin, record.netns_path)
        await self._db.write(partial(records.remove_cni, pod_id=pod_id), durable=False)
        self._records.pop(pod_id, None)

    async def check(self, pod_id: str) -> None:
        """See ``NetworkService.check_pod``."""
        record, added = self._records.get(pod_id, (None, False))
        if record is None or not added:
            raise NotFound(f"pod {pod_id[:12]} has no network")
        await self._call(
            "CNI CHECK", self._cni.check, _network(record), _invocation(record), record.result
        )

    def get(self, pod_id: str) -> PodNetwork | None:
        """The pod's network, once its ADD succeeded."""
        record, added = self._records.get(pod_id, (None, False))
        if record is None or not added:
            return None
        return PodNetwork(
            pod_id=pod_id,
            network=record.conf["name"],
            interface=record.interface,
            netns_path=record.netns_path,
            ips=cni.addresses(record.result, record.interface),
            result=record.result,
        )

    # all ---------------------------------------------------------------------------------
    async def status(self) -> PodNetworkStatus:
        """See ``NetworkService.pod_status``."""
        name = ""
        try:
            network = await self._call("find CNI network", find_network, self._conf_dir)
            name = network.name
            await self._call("CNI STATUS", self._cni.status, network)
        except CortenError as error:
            # The kubelet knows this reason by name.
            return PodNetworkStatus(
                ready=False, name=name, reason="NetworkPluginNotReady", message=str(error)
            )
        return PodNetworkStatus(ready=True, name=name)

    async def collect(self, valid: Sequence[tuple[str, str]]) -> None:
        """GC of the current network; see :meth:`Cni.collect`.

        Never called by itself: other runtimes may use the network, and only the caller can
        know their attachments.
        """
        network = await self._call("find CNI network", find_network, self._conf_dir)
        ours = [(r.pod_id, r.interface) for r, _ in self._records.values()]
        await self._call("CNI GC", self._cni.collect, network, [*valid, *ours])

    async def recover(self, live: Collection[str]) -> None:
        """Load the records, free what belongs to pods that are gone, sweep the pins.

        A DEL that fails is tried again at the next start: its record and its pin stay.
        """
        stored = self._db.read(records.cni_attachments)
        self._records = {record.pod_id: (record, added) for record, added in stored}
        dead = [pod_id for pod_id in self._records if pod_id not in live]
        outcomes = await asyncio.gather(
            *(self.remove(pod_id) for pod_id in dead), return_exceptions=True
        )
        for pod_id, outcome in zip(dead, outcomes, strict=True):
            if isinstance(outcome, CortenError):
                _log.warning("the network of pod %s can't be freed now: %s", pod_id, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
        keep = {record.netns_path for record, _ in self._records.values()}
        await self._call("sweep pins", pins.sweep, self._directory, keep)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _invocation(record: CniRecord) -> Invocation:
    return Invocation(
        container_id=record.pod_id,
        netns=record.netns_path,
        interface=record.interface,
        args=record.args,
        capabilities=record.capabilities,
    )


def _document(network: cni.NetworkList) -> dict[str, Any]:
    return {
        "name": network.name,
        "cniVersion": network.version,
        "disableCheck": network.disable_check,
        "disableGC": network.disable_gc,
        "plugins": list(network.plugins),
    }


def _network(record: CniRecord) -> cni.NetworkList:
    text = msgspec.json.encode(record.conf)
    return cni.parse_network(text, path=f"record of pod {record.pod_id[:12]}")
