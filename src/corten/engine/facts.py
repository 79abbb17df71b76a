"""``Engine.info()``: what the daemon and its machine are."""

from __future__ import annotations

from typing import Any

from corten.engine import states
from corten.engine.parts import Parts


def info(parts: Parts) -> dict[str, Any]:
    """Facts for ``docker info``, ``corten info`` and CRI's Status; from memory."""
    host, settings = parts.host, parts.settings
    records = list(parts.view.containers.values())
    running = [r for r in records if states.is_running(r)]
    return {
        "id": settings.prefix,
        "name": host.hostname,
        "version": settings.version,
        "root": settings.root,
        "state": settings.state,
        "prefix": settings.prefix,
        "boot_id": parts.boot_id,
        "hostname": host.hostname,
        "kernel": host.kernel,
        "architecture": host.architecture,
        "operating_system": host.operating_system,
        "cpus": host.cpus,
        "memory": host.memory,
        "containers": len(records),
        "containers_running": sum(r.state.status == "running" for r in running),
        "containers_paused": sum(r.state.status == "paused" for r in running),
        "containers_stopped": len(records) - len(running),
        "pods": len(parts.view.pods),
        "images": len(parts.images.list("docker")),
        "snapshotter": parts.snapshots.name,
        "cgroup_driver": settings.cgroup_driver,
        "cgroup_version": str(host.cgroup_version),
        "runtimes": {
            "native": {"path": "corten-oci"},
            **{name: {"path": one.path} for name, one in settings.runtimes.items()},
        },
        "default_runtime": "native",
        "security_options": ["name=seccomp,profile=builtin"],
        "warnings": [] if host.swap_accounting else ["No swap limit support"],
        "networks": {
            network.name: {
                "id": network.id,
                "driver": network.driver,
                "subnet4": network.subnet4,
                "gateway4": network.gateway4,
                "subnet6": network.subnet6,
                "gateway6": network.gateway6,
                "nat": network.nat,
                "nat_problem": network.nat_problem,
            }
            for network in parts.networks.networks()
        },
        "launcher_pid": parts.launcher.pid,
    }
