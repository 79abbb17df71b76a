"""The requests of the native protocol, as msgspec decodes and checks them.

A request's payload is one JSON object; ``op`` names the class in snake case
(``CreateContainer`` is ``create_container``); unknown members are refused.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from corten.engine.contract import NetworkSpec
from corten.engine.types import (
    Auth,
    Changes,
    ContainerConfig,
    ExecConfig,
    NetworkRequest,
    PodConfig,
    PruneFilter,
    Tenant,
)

WaitCondition = Literal["not-running", "next-exit", "removed"]


def _op(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class Request(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag=_op
):
    """Base of all requests."""

    tenant: Tenant = "docker"


class Hello(Request, frozen=True, kw_only=True):
    """Who answers: version, protocol, api."""


class Info(Request, frozen=True, kw_only=True):
    pass


# containers -----------------------------------------------------------------------------


class CreateContainer(Request, frozen=True, kw_only=True):
    config: ContainerConfig
    name: str = ""
    pod_id: str = ""
    attempt: int = 0
    origin: dict[str, Any] | None = None


class StreamSides(Request, frozen=True, kw_only=True):
    """Which of the three standard streams an attached client wants."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True


class Run(StreamSides, frozen=True, kw_only=True):
    """Create, attach, start and wait in one request.

    Items: ``{"created": Container}`` (with the stream's descriptor if ``attach``), then
    ``{"started": Container}``; reply: the ExitStatus, or null without ``wait``.
    """

    config: ContainerConfig
    name: str = ""
    attach: bool = False
    wait: WaitCondition | None = None
    origin: dict[str, Any] | None = None


class Start(StreamSides, frozen=True, kw_only=True):
    """Attach, start and wait for an existing container; items and reply as for Run."""

    ref: str
    attach: bool = False
    wait: WaitCondition | None = None


class OfContainer(Request, frozen=True, kw_only=True):
    ref: str


class StartContainer(OfContainer, frozen=True, kw_only=True):
    pass


class StopContainer(OfContainer, frozen=True, kw_only=True):
    timeout: float | None = None
    signal: str = ""


class RestartContainer(OfContainer, frozen=True, kw_only=True):
    timeout: float | None = None
    signal: str = ""


class KillContainer(OfContainer, frozen=True, kw_only=True):
    signal: str = "KILL"


class WaitContainer(OfContainer, frozen=True, kw_only=True):
    condition: WaitCondition = "not-running"


class RemoveContainer(OfContainer, frozen=True, kw_only=True):
    force: bool = False
    volumes: bool = False


class PauseContainer(OfContainer, frozen=True, kw_only=True):
    pass


class UnpauseContainer(OfContainer, frozen=True, kw_only=True):
    pass


class GetContainer(OfContainer, frozen=True, kw_only=True):
    pass


class ListContainers(Request, frozen=True, kw_only=True):
    pass


class ResizeContainer(OfContainer, frozen=True, kw_only=True):
    rows: int
    cols: int


class AttachContainer(StreamSides, frozen=True, kw_only=True):
    """Reply: null, with the stream's descriptor."""

    ref: str


class Logs(OfContainer, frozen=True, kw_only=True):
    """Answered by LINES frames."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    tail: int | None = None
    since: int = 0
    until: int = 0


class UpdateContainer(OfContainer, frozen=True, kw_only=True):
    changes: Changes


class RenameContainer(OfContainer, frozen=True, kw_only=True):
    name: str


class ContainerStats(OfContainer, frozen=True, kw_only=True):
    """Reply: Stats."""


class TopContainer(OfContainer, frozen=True, kw_only=True):
    pass


# containers' files: the first item has a descriptor that carries the archive ----------------


class OfPath(OfContainer, frozen=True, kw_only=True):
    path: str


class StatPath(OfPath, frozen=True, kw_only=True):
    pass


class CopyOut(OfPath, frozen=True, kw_only=True):
    """Item: the path's PathStat, with the descriptor to read from; reply: null at the end."""


class CopyIn(OfPath, frozen=True, kw_only=True):
    """Item: null, with the descriptor to write to; shut it down at the end. Reply: null."""

    keep_kinds: bool = True
    keep_owner: bool = False


class ContainerChanges(OfContainer, frozen=True, kw_only=True):
    pass


class ExportContainer(OfContainer, frozen=True, kw_only=True):
    """As CopyOut."""


class CommitContainer(OfContainer, frozen=True, kw_only=True):
    name: str = ""
    author: str = ""
    comment: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True


class ContainerSize(OfContainer, frozen=True, kw_only=True):
    pass


class PruneContainers(Request, frozen=True, kw_only=True):
    wanted: PruneFilter = PruneFilter()
    dry_run: bool = False


# execs ----------------------------------------------------------------------------------


class CreateExec(OfContainer, frozen=True, kw_only=True):
    config: ExecConfig


class RunExec(OfContainer, frozen=True, kw_only=True):
    """Create, start and wait. Item: ``{"started": Exec}`` with the descriptor if ``stream``;
    reply: the exit code, or null without ``wait``."""

    config: ExecConfig
    stream: bool = True
    wait: bool = True


class OfExec(Request, frozen=True, kw_only=True):
    exec_id: str


class StartExec(OfExec, frozen=True, kw_only=True):
    """Reply: null, with the stream's descriptor if ``stream``."""

    stream: bool = False
    tty: bool | None = None


class WaitExec(OfExec, frozen=True, kw_only=True):
    pass


class GetExec(OfExec, frozen=True, kw_only=True):
    pass


class ListExecs(OfContainer, frozen=True, kw_only=True):
    pass


class ResizeExec(OfExec, frozen=True, kw_only=True):
    rows: int
    cols: int


# pods -----------------------------------------------------------------------------------


class RunPod(Request, frozen=True, kw_only=True):
    config: PodConfig


class OfPod(Request, frozen=True, kw_only=True):
    pod_id: str


class StopPod(OfPod, frozen=True, kw_only=True):
    pass


class RemovePod(OfPod, frozen=True, kw_only=True):
    pass


class GetPod(OfPod, frozen=True, kw_only=True):
    pass


class ListPods(Request, frozen=True, kw_only=True):
    pass


# networks -------------------------------------------------------------------------------


class CreateNetwork(Request, frozen=True, kw_only=True):
    spec: NetworkSpec


class OfNetwork(Request, frozen=True, kw_only=True):
    ref: str


class GetNetwork(OfNetwork, frozen=True, kw_only=True):
    pass


class ListNetworks(Request, frozen=True, kw_only=True):
    pass


class RemoveNetwork(OfNetwork, frozen=True, kw_only=True):
    pass


class ConnectNetwork(OfContainer, frozen=True, kw_only=True):
    """``ref`` is the container, the request names the network."""

    request: NetworkRequest


class DisconnectNetwork(OfContainer, frozen=True, kw_only=True):
    network: str
    force: bool = False


class Explain(Request, frozen=True, kw_only=True):
    """What an object is made of on this machine; ``kind`` empty: the first that has the name."""

    ref: str
    kind: Literal["", "container", "image", "volume", "network", "pod"] = ""


class ExplainNetwork(Request, frozen=True, kw_only=True):
    """The way of a packet; ``src`` and ``dst``: a container, an address, host, outside."""

    src: str
    dst: str
    port: int = 0
    protocol: Literal["tcp", "udp"] = "tcp"


class PruneNetworks(Request, frozen=True, kw_only=True):
    """Remove those of these networks that nobody is connected to; reply: the networks."""

    ids: tuple[str, ...]


# images ---------------------------------------------------------------------------------


class OfImage(Request, frozen=True, kw_only=True):
    ref: str


class PullImage(OfImage, frozen=True, kw_only=True):
    """Items: Progress; reply: the Image."""

    platform: str = ""
    auth: Auth | None = None


class ImageFromHost(Request, frozen=True, kw_only=True):
    tag: str
    programs: tuple[str, ...]
    cmd: tuple[str, ...] = ()


class EnsureHello(Request, frozen=True, kw_only=True):
    pass


class GetImage(OfImage, frozen=True, kw_only=True):
    pass


class ListImages(Request, frozen=True, kw_only=True):
    pass


class TagImage(OfImage, frozen=True, kw_only=True):
    name: str


class ImageHistory(OfImage, frozen=True, kw_only=True):
    pass


class ImportImage(Request, frozen=True, kw_only=True):
    """As CopyIn; reply: the image's record."""

    name: str = ""
    changes: tuple[str, ...] = ()
    comment: str = ""
    platform: str = ""


class LoadImages(Request, frozen=True, kw_only=True):
    """As CopyIn, then items: Progress; reply: ``[{"id", "names"}]``."""


class SaveImages(Request, frozen=True, kw_only=True):
    """As CopyOut."""

    refs: tuple[str, ...]


class PushImage(OfImage, frozen=True, kw_only=True):
    """Items: Progress; reply: ``{"tag", "digest", "size"}``."""

    auth: Auth | None = None


class RepositoryNames(Request, frozen=True, kw_only=True):
    repository: str


class RepositoryTags(OfImage, frozen=True, kw_only=True):
    auth: Auth | None = None


class CheckLogin(Request, frozen=True, kw_only=True):
    server: str
    auth: Auth


class PruneImages(Request, frozen=True, kw_only=True):
    wanted: PruneFilter = PruneFilter()
    everything: bool = False
    dry_run: bool = False


class DiskUsage(Request, frozen=True, kw_only=True):
    pass


class RemoveImage(OfImage, frozen=True, kw_only=True):
    force: bool = False


# volumes --------------------------------------------------------------------------------


class CreateVolume(Request, frozen=True, kw_only=True):
    """Reply: the Volume; one that is there already is no error. Without a name: anonymous."""

    name: str = ""
    driver: str = ""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class GetVolume(Request, frozen=True, kw_only=True):
    name: str


class ListVolumes(Request, frozen=True, kw_only=True):
    pass


class RemoveVolume(Request, frozen=True, kw_only=True):
    name: str
    force: bool = False


class PruneVolumes(Request, frozen=True, kw_only=True):
    """Reply: ``{"removed": [name, …], "freed": bytes}``; without ``names`` all are meant."""

    names: tuple[str, ...] | None = None


# the rest -------------------------------------------------------------------------------


class Events(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="events",
):
    """Items: Event. Without a tenant, those of all."""

    tenant: Tenant | None = None
    since: int | None = None
    until: int | None = None
    from_seq: int | None = None
