"""What Kubernetes tells CNI plugins beyond the namespace: ``CNI_ARGS`` and capabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from corten.errors import InvalidArgument
from corten.networks.types import PodDns, PodPort

# Kubernetes' quantities (apimachinery, resource.Quantity): decimal and binary suffixes.
_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "Pi": 1 << 50,
    "Ei": 1 << 60,
}
_BURST = (1 << 32) - 1  # bits; as good as unlimited
_RATES = (10**3, 10**15)  # bits a second that make sense


def kubernetes_args(pod_id: str, *, namespace: str, name: str, uid: str) -> str:
    """``CNI_ARGS`` by the names that every Kubernetes runtime uses."""
    pairs = [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", namespace),
        ("K8S_POD_NAME", name),
        ("K8S_POD_INFRA_CONTAINER_ID", pod_id),
    ]
    if uid:
        pairs.append(("K8S_POD_UID", uid))
    for key, value in pairs:
        if ";" in value or "=" in value:
            raise InvalidArgument(f"{key} can't be {value!r}: ';' and '=' separate CNI_ARGS")
    return ";".join(f"{key}={value}" for key, value in pairs)


def capability_args(
    *, ports: Sequence[PodPort], annotations: dict[str, str], dns: PodDns, cgroup_path: str
) -> dict[str, Any]:
    """Arguments by capability (CNI CONVENTIONS.md); a plugin gets those it declares."""
    found: dict[str, Any] = {"io.kubernetes.cri.pod-annotations": annotations}
    mappings = [_mapping(port) for port in ports if port.host_port]
    if mappings:
        found["portMappings"] = mappings
    bandwidth = _bandwidth(annotations)
    if bandwidth:
        found["bandwidth"] = bandwidth
    named = {"servers": dns.servers, "searches": dns.searches, "options": dns.options}
    if any(named.values()):
        found["dns"] = {key: list(values) for key, values in named.items()}
    if cgroup_path:
        found["cgroupPath"] = cgroup_path
    return found


def _mapping(port: PodPort) -> dict[str, Any]:
    return {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol,
        "hostIP": port.host_ip,
    }


def _bandwidth(annotations: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for direction in ("ingress", "egress"):
        key = f"kubernetes.io/{direction}-bandwidth"
        if key not in annotations:
            continue
        rate = parse_quantity(annotations[key])
        if not _RATES[0] <= rate <= _RATES[1]:
            raise InvalidArgument(f"annotation {key} must be between 1k and 1P bits a second")
        found[f"{direction}Rate"] = rate
        found[f"{direction}Burst"] = _BURST
    return found


def parse_quantity(text: str) -> int:
    """A whole quantity of Kubernetes: ``10M``, ``1.5Gi``, ``1e6``; rounded up."""
    number = text.strip()
    unit = next((u for u in sorted(_UNITS, key=len, reverse=True) if u and number.endswith(u)), "")
    try:
        value = float(number.removesuffix(unit)) * _UNITS[unit]
        return -int(-value // 1)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{text!r} is no quantity", hint="write it like 10M") from None
