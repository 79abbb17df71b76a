"""Explaining a pod."""

from __future__ import annotations

from corten.engine import states
from corten.engine.explaining import looking, running
from corten.engine.explaining.containers import LOOK
from corten.engine.explaining.types import Explanation, Link, Place, Related, Removal, frees
from corten.engine.parts import Parts
from corten.engine.types import Pod


async def explain(parts: Parts, pod: Pod) -> Explanation:
    """See ``contract.Engine.explain``."""
    found = await parts.paths.run(
        running.look, parts.settings.pod_dir(pod.id), {}, {}, "pod", deadline=LOOK
    )
    places = await _places(parts, pod)
    members = parts.view.containers_of(pod.id)
    active = [c.name for c in members if states.has_process(c)]
    ready = "ready" if pod.ready else f"not ready{': ' + pod.reason if pod.reason else ''}"
    return Explanation(
        kind="pod",
        id=pod.id,
        name=f"{pod.config.namespace}/{pod.config.name}",
        tenant=pod.tenant,
        what=f"a pod of {len(members)} container(s), {len(active)} of which run; {ready}",
        places=places,
        processes=found.processes,
        mounts=found.mounts,
        cgroups=found.cgroups,
        namespaces=found.namespaces,
        links=_links(pod),
        related=tuple(
            Related(kind="container", id=c.id, name=c.name, how=f"part of it, {c.state.status}")
            for c in members
        ),
        removal=Removal(
            command=f"crictl rmp {pod.id[:12]}",
            obstacle="it is ready: stop it first" if pod.ready else "",
            takes=("its containers with their files", "its network namespace and addresses"),
            leaves=("images",),
            frees=frees(places),
        ),
    )


async def _places(parts: Parts, pod: Pod) -> tuple[Place, ...]:
    files = parts.settings.pod_files(pod.id)
    size = await parts.paths.run(looking.tree_size, files, deadline=LOOK)
    found = [
        Place(what="its files in /etc, and /dev/shm", path=files, size=size, goes="yes"),
        Place(
            what="the monitor's socket and state", path=parts.settings.pod_dir(pod.id), goes="yes"
        ),
    ]
    if pod.netns_path:
        found.append(Place(what="its network namespace, pinned", path=pod.netns_path, goes="yes"))
    if pod.config.log_directory:
        found.append(
            Place(what="logs of its containers, the kubelet's", path=pod.config.log_directory)
        )
    return tuple(found)


def _links(pod: Pod) -> tuple[Link, ...]:
    """As the CNI plugins told."""
    addresses: dict[int, list[str]] = {}
    for one in pod.cni_result.get("ips") or ():
        addresses.setdefault(int(one.get("interface", 0)), []).append(str(one.get("address", "")))
    return tuple(
        Link(
            name=str(one.get("name", "")),
            what="inside" if one.get("sandbox") else "on the machine",
            addresses=tuple(addresses.get(number, ())),
        )
        for number, one in enumerate(pod.cni_result.get("interfaces") or ())
    )
