"""What the runtime says of itself: Version, Status, RuntimeConfig."""

from __future__ import annotations

import json

from corten.cri.pb import cri_pb2 as pb
from corten.engine.contract import Engine

_API_VERSION = "v1"
_KUBELET_API_VERSION = "0.1.0"  # a constant of the kubelet's


class Runtime:
    """The methods that concern no object."""

    def __init__(self, engine: Engine, version: str) -> None:
        self._engine = engine
        self._version = version or "0.0.0"

    async def Version(self, request: pb.VersionRequest) -> pb.VersionResponse:
        return pb.VersionResponse(
            version=_KUBELET_API_VERSION,
            runtime_name="corten",
            runtime_version=self._version,
            runtime_api_version=_API_VERSION,
        )

    async def Status(self, request: pb.StatusRequest) -> pb.StatusResponse:
        network = await self._engine.pod_network_status()
        info = self._engine.info()
        conditions = [
            pb.RuntimeCondition(type="RuntimeReady", status=True),
            pb.RuntimeCondition(
                type="NetworkReady",
                status=network.ready,
                reason=network.reason,
                message=network.message,
            ),
        ]
        # The unnamed handler is what a pod without a RuntimeClass gets.
        names = ["", *sorted(info.get("runtimes", {}))]
        return pb.StatusResponse(
            status=pb.RuntimeStatus(conditions=conditions),
            runtime_handlers=[_handler(name) for name in names],
            features=pb.RuntimeFeatures(supplemental_groups_policy=True),
            info={"config": json.dumps(info, default=str)} if request.verbose else {},
        )

    async def RuntimeConfig(self, request: pb.RuntimeConfigRequest) -> pb.RuntimeConfigResponse:
        systemd = self._engine.info().get("cgroup_driver") == "systemd"
        driver = pb.SYSTEMD if systemd else pb.CGROUPFS
        return pb.RuntimeConfigResponse(linux=pb.LinuxRuntimeConfiguration(cgroup_driver=driver))


def _handler(name: str) -> pb.RuntimeHandler:
    features = pb.RuntimeHandlerFeatures(recursive_read_only_mounts=True, user_namespaces=False)
    return pb.RuntimeHandler(name=name, features=features)
