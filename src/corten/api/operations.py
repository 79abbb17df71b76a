"""Which function answers which request: one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple

import msgspec

from corten.api import containers, files, resources, volumes
from corten.api import requests as r
from corten.errors import InvalidArgument, Unimplemented

Quick = Callable[[Any, Any], Any]  # (engine, request): answered at once, from committed state
Slow = Callable[[Any, Any, Any], Awaitable[Any]]  # (engine, request, call): a task of its own

QUICK: Final[dict[type, Quick]] = {
    r.Hello: resources.hello,
    r.Info: resources.info,
    r.GetContainer: containers.get,
    r.ListContainers: containers.list_all,
    r.GetExec: containers.get_exec,
    r.ListExecs: containers.list_execs,
    r.GetPod: resources.get_pod,
    r.ListPods: resources.list_pods,
    r.GetNetwork: resources.get_network,
    r.ListNetworks: resources.list_networks,
    r.GetImage: resources.get_image,
    r.ListImages: resources.list_images,
    r.GetVolume: volumes.get,
    r.ListVolumes: volumes.list_all,
    r.ImageHistory: files.history,
    r.RepositoryNames: files.names,
}
SLOW: Final[dict[type, Slow]] = {
    r.CreateContainer: containers.create,
    r.Run: containers.run,
    r.Start: containers.start_attached,
    r.StartContainer: containers.start,
    r.StopContainer: containers.stop,
    r.RestartContainer: containers.restart,
    r.KillContainer: containers.kill,
    r.WaitContainer: containers.wait,
    r.RemoveContainer: containers.remove,
    r.PauseContainer: containers.pause,
    r.UnpauseContainer: containers.unpause,
    r.ResizeContainer: containers.resize,
    r.AttachContainer: containers.attach,
    r.Logs: containers.logs,
    r.UpdateContainer: containers.update,
    r.RenameContainer: containers.rename,
    r.ContainerStats: containers.stats,
    r.TopContainer: containers.top,
    r.CreateExec: containers.create_exec,
    r.RunExec: containers.run_exec,
    r.StartExec: containers.start_exec,
    r.WaitExec: containers.wait_exec,
    r.ResizeExec: containers.resize_exec,
    r.RunPod: resources.run_pod,
    r.StopPod: resources.stop_pod,
    r.RemovePod: resources.remove_pod,
    r.CreateNetwork: resources.create_network,
    r.RemoveNetwork: resources.remove_network,
    r.ConnectNetwork: resources.connect_network,
    r.DisconnectNetwork: resources.disconnect_network,
    r.PruneNetworks: resources.prune_networks,
    r.ExplainNetwork: resources.explain_network,
    r.PullImage: resources.pull,
    r.ImageFromHost: resources.from_host,
    r.EnsureHello: resources.ensure_hello,
    r.RemoveImage: resources.remove_image,
    r.CreateVolume: volumes.create,
    r.RemoveVolume: volumes.remove,
    r.PruneVolumes: volumes.prune,
    r.StatPath: files.stat_path,
    r.CopyOut: files.copy_out,
    r.CopyIn: files.copy_in,
    r.ContainerChanges: files.changes,
    r.ExportContainer: files.export,
    r.CommitContainer: files.commit,
    r.ContainerSize: files.size,
    r.PruneContainers: files.prune_containers,
    r.TagImage: files.tag,
    r.ImportImage: files.import_image,
    r.LoadImages: files.load,
    r.SaveImages: files.save,
    r.PushImage: files.push,
    r.RepositoryTags: files.tags,
    r.CheckLogin: files.check_login,
    r.PruneImages: files.prune_images,
    r.DiskUsage: files.disk_usage,
    r.Explain: resources.explain,
    r.Events: resources.events,
}


class Operation(NamedTuple):
    """A parsed request and its function; exactly one of the two is set."""

    request: Any
    quick: Quick | None
    slow: Slow | None


_types: list[Any] = [*QUICK, *SLOW]
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, _types))
NAMES: Final = frozenset(str(kind.__struct_config__.tag) for kind in _types)


class _Named(msgspec.Struct):
    op: str


def parse(payload: bytes) -> Operation:
    """Decode and check a request.

    Raises:
        Unimplemented: no such operation.
        InvalidArgument: it is not what its operation takes; the text names the member.
    """
    try:
        request = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise _explain(payload, error) from None
    kind = type(request)
    return Operation(request, QUICK.get(kind), SLOW.get(kind))


def _explain(payload: bytes, error: Exception) -> Exception:
    try:
        name = msgspec.json.decode(payload, type=_Named).op
    except msgspec.MsgspecError as broken:
        return InvalidArgument(f"not a request: {broken}", step="decode request")
    if name not in NAMES:
        return Unimplemented(
            f"there is no operation {name!r}",
            step="decode request",
            hint="the client may be newer than the daemon",
        )
    return InvalidArgument(str(error), step=name)
