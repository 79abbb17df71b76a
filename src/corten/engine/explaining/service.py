"""Finds the object that a name means, and has it explained."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from corten.engine.explaining import containers, images, networks, pods, volumes
from corten.engine.explaining.types import Explanation
from corten.engine.library import Library
from corten.engine.parts import Parts
from corten.engine.types import Pod, Tenant
from corten.engine.volumes.service import Volumes
from corten.errors import InvalidArgument, NotFound

KINDS: Final = ("container", "image", "volume", "network", "pod")


class Explainer:
    """``contract.Engine.explain``."""

    def __init__(self, parts: Parts, library: Library, volumes: Volumes) -> None:
        self._parts = parts
        self._library = library
        self._volumes = volumes

    async def explain(self, tenant: Tenant, ref: str, *, kind: str = "") -> Explanation:
        """See ``contract.Engine.explain``."""
        if kind and kind not in KINDS:
            raise InvalidArgument(f"there are no objects of the kind {kind!r}",
                                  hint=", ".join(KINDS))  # fmt: skip
        found = [(one, self._find(one, tenant, ref)) for one in ([kind] if kind else KINDS)]
        there = [(one, record) for one, record in found if record is not None]
        if not there:
            which = kind or "object"
            raise NotFound(
                f"no such {which}: {ref}", hint="corten ps -a and corten images list them"
            )
        name, record = there[0]
        said = await self._explain(name, tenant, record)
        return msgspec.structs.replace(said, also=tuple(other for other, _ in there[1:]))

    def _find(self, kind: str, tenant: Tenant, ref: str) -> Any:
        """The record; None: there is none of this kind."""
        parts = self._parts
        finders: dict[str, Callable[[], Any]] = {
            "container": lambda: parts.view.container(tenant, ref),
            "image": lambda: self._library.find(tenant, ref),
            "volume": lambda: self._volumes.get(tenant, ref),
            "network": lambda: parts.networks.find(ref, tenant),
            "pod": lambda: self._pod(ref),
        }
        try:
            return finders[kind]()
        except NotFound:
            return None
        except InvalidArgument:
            if kind == "image":  # no name of an image, as an id of a container's may be
                return None
            raise

    def _pod(self, ref: str) -> Pod:
        """By name, NAMESPACE/NAME, id or a prefix of one; kubelets' are the only ones."""
        for pod in self._parts.view.pods.values():
            if ref in (pod.config.name, f"{pod.config.namespace}/{pod.config.name}"):
                return pod
        return self._parts.view.pod("k8s", ref)

    async def _explain(self, kind: str, tenant: Tenant, record: Any) -> Explanation:
        parts = self._parts
        explained: dict[str, Callable[[], Awaitable[Explanation]]] = {
            "container": lambda: containers.explain(parts, record),
            "image": lambda: images.explain(parts, tenant, record),
            "volume": lambda: volumes.explain(parts, record),
            "network": lambda: networks.explain(parts, record),
            "pod": lambda: pods.explain(parts, record),
        }
        return await explained[kind]()
