"""The containers' methods."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

from corten.cri import containerconfig, containerstatus
from corten.cri.filters import container_matches
from corten.cri.pb import cri_pb2 as pb
from corten.cri.tenant import TENANT
from corten.engine.contract import Engine
from corten.engine.types import Container, ContainerConfig, Pod
from corten.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotModified,
)


class Containers:
    """CreateContainer to ContainerStatus. Stop and remove of what is not there succeed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._files = ThreadPoolExecutor(2, thread_name_prefix="cri-files")

    async def CreateContainer(
        self, request: pb.CreateContainerRequest
    ) -> pb.CreateContainerResponse:
        """Idempotent by pod, name and attempt: a retry after a lost answer gets the same."""
        pod = self._engine.get_pod(TENANT, request.pod_sandbox_id)
        if not pod.ready:
            raise FailedPrecondition(f"pod {pod.id} is not ready")
        config = request.config
        name = containerconfig.container_name(config, pod)
        if (there := self._named(name)) is None:
            loop = asyncio.get_running_loop()
            wanted = await loop.run_in_executor(self._files, _prepare, config, pod)
            try:
                there = await self._engine.create_container(
                    TENANT,
                    wanted,
                    name=name,
                    pod_id=pod.id,
                    attempt=config.metadata.attempt,
                    origin=containerconfig.origin(config),
                )
            except AlreadyExists:
                there = self._named(name)  # another call was faster
                if there is None:
                    raise
        return pb.CreateContainerResponse(container_id=there.id)

    def _named(self, name: str) -> Container | None:
        try:
            found = self._engine.get_container(TENANT, name)
        except NotFound:
            return None
        return found if found.name == name else None

    async def StartContainer(self, request: pb.StartContainerRequest) -> pb.StartContainerResponse:
        record = self._engine.get_container(TENANT, request.container_id)
        if containerstatus.state(record) != pb.CONTAINER_CREATED:
            raise FailedPrecondition(
                f"container {record.id} is {record.state.status}: one that was started is not"
                " started again"
            )
        await self._engine.start_container(TENANT, record.id)
        return pb.StartContainerResponse()

    async def StopContainer(self, request: pb.StopContainerRequest) -> pb.StopContainerResponse:
        """``timeout`` 0 kills at once."""
        with contextlib.suppress(NotFound, NotModified):
            await self._engine.stop_container(
                TENANT, request.container_id, timeout=max(request.timeout, 0)
            )
        return pb.StopContainerResponse()

    async def RemoveContainer(
        self, request: pb.RemoveContainerRequest
    ) -> pb.RemoveContainerResponse:
        with contextlib.suppress(NotFound):
            await self._engine.remove_container(TENANT, request.container_id, force=True)
        return pb.RemoveContainerResponse()

    async def ListContainers(self, request: pb.ListContainersRequest) -> pb.ListContainersResponse:
        records = self._engine.list_containers(TENANT)
        found = [containerstatus.item(r) for r in records if container_matches(r, request.filter)]
        return pb.ListContainersResponse(containers=found)

    async def ContainerStatus(
        self, request: pb.ContainerStatusRequest
    ) -> pb.ContainerStatusResponse:
        record = self._engine.get_container(TENANT, request.container_id)
        return pb.ContainerStatusResponse(
            status=containerstatus.status(
                record, self._engine.container_identity(TENANT, record.id)
            ),
            info=_info(record) if request.verbose else {},
        )


def _prepare(config: pb.ContainerConfig, pod: Pod) -> ContainerConfig:
    """What blocks: reading a seccomp profile, and making the log's directory as the peers do
    (the kubelet makes it itself)."""
    wanted = containerconfig.container_config(config, pod)
    if wanted.log.path:
        directory = os.path.dirname(wanted.log.path)
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"the log's directory can't be made: {error.strerror}", path=directory
            ) from error
    return wanted


def _info(record: Container) -> dict[str, str]:
    facts = {
        "sandboxID": record.pod_id,
        "pid": record.state.pid,
        "snapshotter": record.snapshotter,
        "args": list(record.args),
        "steps": {step.step: step.microseconds for step in record.steps},
    }
    return {"info": json.dumps(facts)}
