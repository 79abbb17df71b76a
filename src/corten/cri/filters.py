"""Which objects a list's filter lets through."""

from __future__ import annotations

from collections.abc import Mapping

from corten.cri import containerstatus, podconfig
from corten.cri.pb import cri_pb2 as pb
from corten.engine.types import Container, Pod


def pod_matches(pod: Pod, wanted: pb.PodSandboxFilter) -> bool:
    """Every condition that is given holds; ids may be shortened."""
    if not pod.id.startswith(wanted.id):
        return False
    if wanted.HasField("state") and podconfig.state(pod) != wanted.state.state:
        return False
    return _labels_match(pod.config.labels, wanted.label_selector)


def container_matches(record: Container, wanted: pb.ContainerFilter) -> bool:
    """The same for containers."""
    if not record.id.startswith(wanted.id) or not record.pod_id.startswith(wanted.pod_sandbox_id):
        return False
    if wanted.HasField("state") and containerstatus.state(record) != wanted.state.state:
        return False
    return _labels_match(record.config.labels, wanted.label_selector)


def _labels_match(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())
