"""The pod sandboxes' methods."""

from __future__ import annotations

import json
import time

from corten.cri import containerstatus, podconfig
from corten.cri.filters import pod_matches
from corten.cri.pb import cri_pb2 as pb
from corten.cri.tenant import TENANT
from corten.engine.contract import Engine
from corten.engine.types import Pod


class Pods:
    """RunPodSandbox to ListPodSandbox. Stop and remove of what is not there succeed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def RunPodSandbox(self, request: pb.RunPodSandboxRequest) -> pb.RunPodSandboxResponse:
        config = podconfig.pod_config(request.config, handler=request.runtime_handler)
        pod = await self._engine.run_pod(TENANT, config)
        return pb.RunPodSandboxResponse(pod_sandbox_id=pod.id)

    async def StopPodSandbox(self, request: pb.StopPodSandboxRequest) -> pb.StopPodSandboxResponse:
        await self._engine.stop_pod(TENANT, request.pod_sandbox_id)
        return pb.StopPodSandboxResponse()

    async def RemovePodSandbox(
        self, request: pb.RemovePodSandboxRequest
    ) -> pb.RemovePodSandboxResponse:
        await self._engine.remove_pod(TENANT, request.pod_sandbox_id)
        return pb.RemovePodSandboxResponse()

    async def PodSandboxStatus(
        self, request: pb.PodSandboxStatusRequest
    ) -> pb.PodSandboxStatusResponse:
        pod = self._engine.get_pod(TENANT, request.pod_sandbox_id)
        containers = [c for c in self._engine.list_containers(TENANT) if c.pod_id == pod.id]
        return pb.PodSandboxStatusResponse(
            status=podconfig.status(pod),
            containers_statuses=[
                containerstatus.status(r, self._engine.container_identity(TENANT, r.id))
                for r in containers
            ],
            timestamp=time.time_ns(),
            info=_info(pod) if request.verbose else {},
        )

    async def ListPodSandbox(self, request: pb.ListPodSandboxRequest) -> pb.ListPodSandboxResponse:
        pods = self._engine.list_pods(TENANT)
        found = [podconfig.item(pod) for pod in pods if pod_matches(pod, request.filter)]
        return pb.ListPodSandboxResponse(items=found)


def _info(pod: Pod) -> dict[str, str]:
    facts = {"pid": pod.pid, "netns": pod.netns_path, "cniResult": pod.cni_result}
    return {"info": json.dumps(facts)}
