"""The last committed state, in memory: what lists, look-ups and waits read, without a lock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from corten.engine import ids
from corten.engine.tables import pod_key
from corten.engine.types import Container, Exec, Pod, PodConfig, Volume
from corten.errors import NotFound


class View:
    """Indexed records. Only the door's commits change it, on the loop."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.pods: dict[str, Pod] = {}
        self.execs: dict[str, Exec] = {}
        self.volumes: dict[tuple[str, str], Volume] = {}  # by tenant and name
        self._names: dict[tuple[str, str], str] = {}
        self._pod_keys: dict[tuple[str, str], str] = {}
        self._execs_of: dict[str, dict[str, None]] = {}
        self._containers_of: dict[str, dict[str, None]] = {}

    # look-ups --------------------------------------------------------------------------

    def container(self, tenant: str, ref: str) -> Container:
        """By id, name or prefix, among the tenant's. Raises NotFound, InvalidArgument."""
        found = self.containers.get(ref)
        if found is not None and found.tenant == tenant:
            return found
        mine = {c.id: c for c in self.containers.values() if c.tenant == tenant}
        return ids.resolve(ref, mine, lambda name: self.named(tenant, name), mine, kind="container")

    def named(self, tenant: str, name: str) -> Container | None:
        """The container of this very name."""
        found = self._names.get((tenant, name))
        return None if found is None else self.containers[found]

    def containers_of(self, pod_id: str) -> list[Container]:
        """The containers of a pod."""
        return [self.containers[one] for one in self._containers_of.get(pod_id, ())]

    def pod(self, tenant: str, ref: str) -> Pod:
        """By id or prefix. Raises NotFound, InvalidArgument."""
        found = self.pods.get(ref)
        if found is not None and found.tenant == tenant:
            return found
        mine = {p.id: p for p in self.pods.values() if p.tenant == tenant}
        return ids.resolve(ref, mine, lambda _name: None, mine, kind="pod")

    def pod_by_key(self, tenant: str, config: PodConfig) -> Pod | None:
        """The pod that the kubelet means by (namespace, name, uid, attempt)."""
        found = self._pod_keys.get((tenant, pod_key(config)))
        return None if found is None else self.pods[found]

    def exec(self, tenant: str, exec_id: str) -> Exec:
        """By full id. Raises NotFound."""
        found = self.execs.get(exec_id)
        owner = None if found is None else self.containers.get(found.container_id)
        if found is None or owner is None or owner.tenant != tenant:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def execs_of(self, container_id: str) -> list[Exec]:
        """The execs of a container, oldest first."""
        return [self.execs[one] for one in self._execs_of.get(container_id, ())]

    # changes ---------------------------------------------------------------------------

    def load(
        self,
        containers: Iterable[Container],
        pods: Iterable[Pod],
        execs: Iterable[Exec],
        volumes: Iterable[Volume] = (),
    ) -> None:
        """Fill it at the start."""
        for volume in volumes:
            self.put_volume(volume)
        for pod in pods:
            self.put_pod(pod)
        for container in containers:
            self.put_container(container)
        for record in execs:
            if record.container_id in self.containers:
                self.put_exec(record)

    def put_container(self, record: Container) -> None:
        old = self.containers.get(record.id)
        if old is not None and old.name != record.name:
            del self._names[old.tenant, old.name]
        if old is not None:
            record = _with_checks(record, old)
        self.containers[record.id] = record
        self._names[record.tenant, record.name] = record.id
        if record.pod_id:
            self._containers_of.setdefault(record.pod_id, {})[record.id] = None

    def drop_container(self, container_id: str) -> None:
        old = self.containers.pop(container_id, None)
        if old is None:
            return
        self._names.pop((old.tenant, old.name), None)
        self._containers_of.get(old.pod_id, {}).pop(container_id, None)
        for exec_id in self._execs_of.pop(container_id, ()):
            self.execs.pop(exec_id, None)

    def put_volume(self, record: Volume) -> None:
        self.volumes[record.tenant, record.name] = record

    def drop_volume(self, record: Volume) -> None:
        self.volumes.pop((record.tenant, record.name), None)

    def put_pod(self, record: Pod) -> None:
        self.pods[record.id] = record
        self._pod_keys[record.tenant, pod_key(record.config)] = record.id

    def drop_pod(self, pod_id: str) -> None:
        old = self.pods.pop(pod_id, None)
        if old is not None:
            self._pod_keys.pop((old.tenant, pod_key(old.config)), None)
        self._containers_of.pop(pod_id, None)

    def put_exec(self, record: Exec) -> None:
        self.execs[record.id] = record
        self._execs_of.setdefault(record.container_id, {})[record.id] = None

    def drop_exec(self, exec_id: str) -> None:
        old = self.execs.pop(exec_id, None)
        if old is not None:
            self._execs_of.get(old.container_id, {}).pop(exec_id, None)


def _with_checks(record: Container, old: Container) -> Container:
    """The results of health checks are newer here than in what is committed."""
    mine, theirs = record.state.health, old.state.health
    same = record.state.started_at == old.state.started_at
    if mine is None or theirs is None or not same or not theirs.log:
        return record
    if mine.log and mine.log[-1].end >= theirs.log[-1].end:
        return record
    health = msgspec.structs.replace(mine, log=theirs.log, failing_streak=theirs.failing_streak)
    return msgspec.structs.replace(
        record, state=msgspec.structs.replace(record.state, health=health)
    )
