"""What may change of a container that exists: its limits, its restart policy, its name."""

from __future__ import annotations

import msgspec

from corten.engine import ids, states
from corten.engine.checks import check_resources
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.specgen.resources import linux_resources
from corten.engine.types import Changes, Container, Resources, RestartPolicy, Tenant
from corten.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from corten.launch.messages import Update

_replace = msgspec.structs.replace
_POLICIES = ("no", "always", "unless-stopped", "on-failure")


class Changer:
    """``update_container`` and ``rename_container``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def update(self, tenant: Tenant, ref: str, changes: Changes) -> Container:
        """See ``contract.Engine.update_container``."""
        parts = self._parts
        found = parts.view.container(tenant, ref)
        async with parts.locks.hold(("container", found.id)):
            record = parts.view.containers.get(found.id)
            if record is None:
                raise NotFound(f"No such container: {found.id}")
            config = record.config
            restart = changes.restart or config.restart
            check_restart(
                restart, auto_remove=config.auto_remove, changed=restart != config.restart
            )
            resources = config.resources
            if changes.resources is not None:
                resources = _merged(record, changes.resources)
                if tenant == "docker":
                    check_resources(resources, cpus=parts.host.cpus)
                await self._limit(record, resources)

            def step(tx: Tx) -> Container:
                now = tx.container(record.id)
                changed = _replace(now.config, resources=resources, restart=restart)
                now = tx.put_container(_replace(now, config=changed))
                tx.container_event(now, "update")
                return now

            return await parts.door.commit(step, durable=True)

    async def _limit(self, record: Container, resources: Resources) -> None:
        document = linux_resources(resources, swap_accounting=self._parts.host.swap_accounting)
        run = self._parts.runs.get(record.id)
        if run is not None and states.has_process(record):
            await run.monitor.call(Update(resources=document))

    async def rename(self, tenant: Tenant, ref: str, name: str) -> Container:
        """See ``contract.Engine.rename_container``."""
        parts = self._parts
        found = parts.view.container(tenant, ref)
        bare = name.removeprefix("/")
        if not bare:
            raise InvalidArgument("Neither old nor new names may be empty")
        try:
            ids.check_name(bare)
        except InvalidArgument as error:
            raise InvalidArgument(f"Error when allocating new name: {error}") from None

        def step(tx: Tx) -> Container:
            now = tx.container(found.id)
            if now.name == bare:
                raise InvalidArgument("Renaming a container with the same name as its current name")
            holder = tx.name_holder(tenant, bare)
            if holder:
                raise AlreadyExists(
                    f'Error when allocating new name: Conflict. The container name "/{bare}" is'
                    f' already in use by container "{holder}". You have to remove (or rename) that'
                    " container to be able to reuse that name."
                )
            renamed = tx.put_container(_replace(now, name=bare))
            tx.container_event(renamed, "rename", oldName=f"/{now.name}")
            return renamed

        async with parts.locks.hold(("container", found.id)):
            return await parts.door.commit(step, durable=True)


def check_restart(policy: RestartPolicy, *, auto_remove: bool, changed: bool = True) -> None:
    """Refuse a policy that can't be, in dockerd's words.

    Raises:
        InvalidArgument, FailedPrecondition.
    """
    if policy.name not in _POLICIES:
        raise InvalidArgument(f"invalid restart policy '{policy.name}'")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidArgument(
            f"maximum retry count cannot be used with restart policy '{policy.name}'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidArgument("maximum retry count cannot be negative")
    if auto_remove and changed and policy.name != "no":
        raise FailedPrecondition(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )


def _merged(record: Container, changes: Resources) -> Resources:
    """The old limits with those that are given."""
    old = record.config.resources
    given = {
        name: value
        for name in Resources.__struct_fields__
        if (value := getattr(changes, name)) not in (None, "", {})
    }
    if given.get("nano_cpus") and (old.cpu_quota or old.cpu_period):
        raise InvalidArgument(
            "Conflicting options: Nano CPUs cannot be updated as CPU quota or period has already"
            " been set"
        )
    if old.nano_cpus and (given.get("cpu_quota") or given.get("cpu_period")):
        raise InvalidArgument(
            "Conflicting options: CPU quota or period cannot be updated as Nano CPUs has already"
            " been set"
        )
    swap = old.memory_swap or 0
    if given.get("memory") and "memory_swap" not in given and 0 < swap < given["memory"]:
        raise FailedPrecondition(
            "Memory limit should be smaller than already set memoryswap limit,"
            " update the memoryswap at the same time",
            step=f"Cannot update container {record.id}",
        )
    return _replace(old, **given)
