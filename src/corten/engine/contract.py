"""The engine as the faces see it. ``engine.core.Engine`` implements it.

Rules for all methods: an operation belongs to the engine, so cancelling the awaiting
task cancels nothing that has begun; a second call of the same operation joins the
first. ``ref`` is a full id, a unique prefix of one, or a name (with or without ``/``).
Unknown: ``NotFound``; ambiguous prefix: ``InvalidArgument``. Lists and lookups are
synchronous, take no lock and read the last committed state.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from corten.engine.explaining.types import Explanation
from corten.engine.types import (
    Auth,
    Changes,
    Container,
    ContainerConfig,
    ContainerUsage,
    DiskUsage,
    Event,
    Exec,
    ExecConfig,
    ExitStatus,
    HistoryEntry,
    Identity,
    Image,
    LogLine,
    NetworkRequest,
    Pod,
    PodConfig,
    Progress,
    Pruned,
    PruneFilter,
    Stats,
    Tenant,
    Volume,
)
from corten.images.making import Loaded
from corten.images.push import Pushed
from corten.images.trees.service import FileChange, PathStat, Transfer
from corten.images.types import ImageRecord
from corten.networks.explain import Way as Way
from corten.networks.types import Network as Network
from corten.networks.types import NetworkSpec as NetworkSpec
from corten.networks.types import PodNetworkStatus
from corten.spec.descriptor import Descriptor
from corten.spec.platform import Platform

WaitCondition = Literal["not-running", "next-exit", "removed"]
ProgressSink = Callable[[Progress], None]


class Engine(Protocol):
    # containers ------------------------------------------------------------------------
    async def create_container(
        self,
        tenant: Tenant,
        config: ContainerConfig,
        *,
        name: str = "",
        pod_id: str = "",
        attempt: int = 0,
        origin: dict[str, Any] | None = None,
    ) -> Container:
        """Record, name, snapshot. Raises NotFound (image), AlreadyExists (name)."""

    async def start_container(self, tenant: Tenant, ref: str) -> Container:
        """Start. NotModified if it runs; ProgramNotFound/ProgramNotExecutable for 127/126."""

    async def stop_container(
        self, tenant: Tenant, ref: str, *, timeout: float | None = None, signal: str = ""
    ) -> Container:
        """Stop signal, then SIGKILL after ``timeout`` seconds (None: the container's, else 10;
        -1: never). NotModified if it does not run."""

    async def restart_container(
        self, tenant: Tenant, ref: str, *, timeout: float | None = None, signal: str = ""
    ) -> Container:
        """Stop, if it runs, and start. One made to be removed with its end is not removed."""

    async def kill_container(self, tenant: Tenant, ref: str, *, signal: str = "KILL") -> None:
        """Send a signal by name or number. FailedPrecondition if it does not run."""

    async def wait_container(
        self, tenant: Tenant, ref: str, *, condition: WaitCondition = "not-running"
    ) -> ExitStatus: ...

    def exit_waiter(
        self, tenant: Tenant, ref: str, *, condition: WaitCondition = "not-running"
    ) -> Callable[[], Any]:
        """Subscribe now, await later: returns an async function giving the ExitStatus.

        For ``POST /containers/{id}/wait``, whose headers must go out once it is subscribed."""

    async def remove_container(
        self, tenant: Tenant, ref: str, *, force: bool = False, volumes: bool = False
    ) -> None: ...

    async def pause_container(self, tenant: Tenant, ref: str) -> None: ...

    async def unpause_container(self, tenant: Tenant, ref: str) -> None: ...

    def get_container(self, tenant: Tenant, ref: str) -> Container: ...

    def list_containers(self, tenant: Tenant) -> Sequence[Container]: ...

    async def resize_container(self, tenant: Tenant, ref: str, rows: int, cols: int) -> None: ...

    async def attach_container(
        self,
        tenant: Tenant,
        ref: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> socket.socket:
        """A connected stream socket to the container's monitor (also before its start).

        With a terminal it carries raw bytes both ways; without one, output comes in Docker's
        frames (8-byte header: stream number, 3 zeros, big-endian length) and input is raw.
        Shutting down the writing side closes stdin. End of file: the process ended."""

    def logs(
        self,
        tenant: Tenant,
        ref: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        follow: bool = False,
        tail: int | None = None,
        since: int = 0,
        until: int = 0,
    ) -> AsyncIterator[LogLine]: ...

    async def update_container(self, tenant: Tenant, ref: str, changes: Changes) -> Container:
        """New limits, also of a running one, or another restart policy."""

    async def rename_container(self, tenant: Tenant, ref: str, name: str) -> Container:
        """AlreadyExists: another one has the name."""

    def container_identity(self, tenant: Tenant, ref: str) -> Identity | None:
        """Whom the container's first process runs as; None: it does not run."""

    async def top_container(self, tenant: Tenant, ref: str) -> list[int]:
        """Process ids (of the daemon's PID namespace) in the container's cgroup."""

    async def container_stats(self, tenant: Tenant, ref: str) -> Stats:
        """What it uses now; without counters if it does not run."""

    # containers' files -----------------------------------------------------------------
    # An archive travels over the ``sock`` of a Transfer; leaving it early ends what was begun.

    async def stat_path(self, tenant: Tenant, ref: str, path: str) -> PathStat:
        """What a path inside a container is; a last link is not followed. NotFound."""

    async def copy_out(self, tenant: Tenant, ref: str, path: str) -> Transfer[None]:
        """A file or tree as a tar archive, running or not; ``transfer.stat`` tells what it is.

        Links are resolved inside the container; what is mounted into it is there. NotFound."""

    async def copy_in(
        self,
        tenant: Tenant,
        ref: str,
        path: str,
        *,
        keep_kinds: bool = True,
        keep_owner: bool = False,
    ) -> Transfer[None]:
        """Unpack an archive below a directory of a container's.

        Arguments:
            keep_kinds: a directory is not replaced by a file, nor a file by a directory.
            keep_owner: everything becomes the container's user's; else as the archive says.
        Raises:
            NotFound, InvalidArgument (no directory), FailedPrecondition (read-only).
        """

    async def container_changes(self, tenant: Tenant, ref: str) -> Sequence[FileChange]:
        """What differs from the image, by path."""

    async def export_container(self, tenant: Tenant, ref: str) -> Transfer[None]:
        """The whole root file system as an archive, without what is mounted into it."""

    async def commit_container(
        self,
        tenant: Tenant,
        ref: str,
        *,
        name: str = "",
        author: str = "",
        comment: str = "",
        changes: Sequence[str] = (),
        config: dict[str, Any] | None = None,
        pause: bool = True,
    ) -> Image:
        """Make an image of what a container changed.

        Arguments:
            changes: Dockerfile instructions. config: members of the image's configuration.
            pause: stop its processes meanwhile.
        """

    # execs -----------------------------------------------------------------------------
    async def create_exec(self, tenant: Tenant, ref: str, config: ExecConfig) -> Exec: ...

    async def start_exec(
        self, tenant: Tenant, exec_id: str, *, stream: bool, tty: bool | None = None
    ) -> socket.socket | None:
        """Start; with ``stream`` the socket as for :meth:`attach_container`."""

    async def run_exec(
        self,
        tenant: Tenant,
        ref: str,
        config: ExecConfig,
        *,
        stream: bool,
        started: Callable[[Exec, socket.socket | None], None],
    ) -> Exec:
        """Create and start, recorded together. ``started`` is called, with the stream, as soon
        as the program is executed; this returns when that is recorded, too."""

    async def wait_exec(self, tenant: Tenant, exec_id: str) -> int: ...

    def get_exec(self, tenant: Tenant, exec_id: str) -> Exec: ...

    def list_execs(self, tenant: Tenant, ref: str) -> Sequence[Exec]: ...

    async def resize_exec(self, tenant: Tenant, exec_id: str, rows: int, cols: int) -> None: ...

    async def kill_exec(self, tenant: Tenant, exec_id: str, *, signal: str = "KILL") -> None:
        """Signal an exec's process. FailedPrecondition if it does not run."""

    # pods ------------------------------------------------------------------------------
    async def run_pod(self, tenant: Tenant, config: PodConfig) -> Pod:
        """Idempotent by (namespace, name, uid, attempt): a retry gets the same pod."""

    async def stop_pod(self, tenant: Tenant, pod_id: str) -> None: ...

    async def remove_pod(self, tenant: Tenant, pod_id: str) -> None: ...

    def get_pod(self, tenant: Tenant, pod_id: str) -> Pod: ...

    def list_pods(self, tenant: Tenant) -> Sequence[Pod]: ...

    async def pod_network_status(self) -> PodNetworkStatus:
        """Whether a pod can get a network now: CRI's ``NetworkReady``."""

    # images ----------------------------------------------------------------------------
    async def pull_image(
        self,
        tenant: Tenant,
        ref: str,
        *,
        platform: str = "",
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> Image: ...

    async def image_from_host(
        self, tenant: Tenant, tag: str, programs: Sequence[str], *, cmd: Sequence[str] = ()
    ) -> Image: ...

    async def ensure_hello(self, tenant: Tenant) -> Image:
        """The embedded default image ``hello``, made at first use."""

    def get_image(self, tenant: Tenant, ref: str) -> Image: ...

    def list_images(self, tenant: Tenant) -> Sequence[Image]: ...

    async def remove_image(self, tenant: Tenant, ref: str, *, force: bool = False) -> list[Event]:
        """Untag or delete; the events tell which (``untag``, ``delete``)."""

    # volumes ---------------------------------------------------------------------------
    async def create_volume(
        self,
        tenant: Tenant,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Make a volume, or get the one of this name. Without a name it is anonymous.

        Arguments:
            options: of the driver ``local``, as docker's: ``type``, ``device``, ``o``.
        Raises:
            InvalidArgument: name or options. NotFound: another driver.
        """

    def get_volume(self, tenant: Tenant, name: str) -> Volume: ...

    def list_volumes(self, tenant: Tenant) -> Sequence[Volume]:
        """By name."""

    async def remove_volume(self, tenant: Tenant, name: str, *, force: bool = False) -> None:
        """With its files. FailedPrecondition: a container uses it, running or not; ``force``
        makes one that is not there no error."""

    async def prune_volumes(
        self, tenant: Tenant, names: Sequence[str] | None = None
    ) -> tuple[list[str], int]:
        """Remove those of ``names`` (None: of all) that no container uses; the removed ones and
        the bytes that their files had."""

    async def volume_size(self, tenant: Tenant, name: str) -> int:
        """Bytes of a volume's files; it walks them."""

    # networks --------------------------------------------------------------------------
    async def create_network(self, tenant: Tenant, spec: NetworkSpec) -> Network:
        """Record and bridge. AlreadyExists (name), InvalidArgument, PermissionDenied."""

    def get_network(self, tenant: Tenant, ref: str) -> Network: ...

    def list_networks(self, tenant: Tenant) -> Sequence[Network]:
        """The built-in ones, and the tenant's, the oldest first."""

    async def remove_network(self, tenant: Tenant, ref: str) -> Network:
        """PermissionDenied: somebody is connected, or it is built in."""

    async def connect_network(self, tenant: Tenant, ref: str, request: NetworkRequest) -> None:
        """Connect the container ``ref`` to the network of the request, running or not."""

    async def disconnect_network(
        self, tenant: Tenant, ref: str, network: str, *, force: bool = False
    ) -> None: ...

    async def prune_networks(
        self, tenant: Tenant, wanted: Callable[[Network], bool]
    ) -> Sequence[Network]:
        """Remove those that nobody is connected to and that are ``wanted``."""

    async def explain_network(
        self, tenant: Tenant, src: str, dst: str, *, port: int = 0, protocol: str = "tcp"
    ) -> Way:
        """The way of a packet between two of: a container, its address, ``host``, ``outside``."""

    async def tag_image(self, tenant: Tenant, ref: str, name: str) -> Image:
        """Give an image one more name."""

    def image_history(self, tenant: Tenant, ref: str) -> Sequence[HistoryEntry]:
        """How it came to be, newest first."""

    async def import_image(
        self,
        tenant: Tenant,
        name: str = "",
        *,
        changes: Sequence[str] = (),
        comment: str = "",
        platform: str = "",
    ) -> Transfer[ImageRecord]:
        """An image of one layer, whose archive comes over the transfer's socket."""

    async def load_images(
        self, tenant: Tenant, *, progress: ProgressSink | None = None
    ) -> Transfer[Sequence[Loaded]]:
        """Every image of an archive (docker's, or an OCI layout), packed or not."""

    async def save_images(self, tenant: Tenant, refs: Sequence[str]) -> Transfer[None]:
        """An archive of images; a repository without a tag means all of its tags. NotFound."""

    async def push_image(
        self,
        tenant: Tenant,
        ref: str,
        *,
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> Pushed:
        """Put an image into the registry that its name says."""

    def repository_names(self, tenant: Tenant, repository: str) -> Sequence[str]:
        """The names with a tag that a repository has here."""

    async def repository_tags(self, ref: str, *, auth: Auth | None = None) -> Sequence[str]:
        """All tags that a repository has at its registry."""

    async def remote_image(
        self, tenant: Tenant, ref: str, *, auth: Auth | None = None
    ) -> tuple[Descriptor, Sequence[Platform]]:
        """What a registry has under a name, and for which platforms. Raises as
        :meth:`pull_image`."""

    async def check_login(self, server: str, auth: Auth) -> None:
        """Whether a registry takes these credentials. Unauthenticated, Unavailable."""

    # space -----------------------------------------------------------------------------
    async def disk_usage(self, tenant: Tenant) -> DiskUsage:
        """What takes how much; measures every container."""

    async def container_size(self, tenant: Tenant, ref: str) -> ContainerUsage:
        """What a container takes; walks what it wrote."""

    async def prune_images(
        self,
        tenant: Tenant,
        wanted: PruneFilter | None = None,
        *,
        everything: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove images without a tag (``everything``: all) that no container uses."""

    async def prune_containers(
        self, tenant: Tenant, wanted: PruneFilter | None = None, *, dry_run: bool = False
    ) -> Pruned:
        """Remove containers that do not run."""

    async def explain(self, tenant: Tenant, ref: str, *, kind: str = "") -> Explanation:
        """What an object is made of on this machine, and what goes with it; measures its files.

        Arguments:
            kind: ``container``, ``image``, ``volume``, ``network`` or ``pod`` (of the tenant
                ``k8s``); empty: the first of them that has the name.
        """

    # the rest --------------------------------------------------------------------------
    def events(
        self,
        tenant: Tenant | None,
        *,
        since: int | None = None,
        until: int | None = None,
        from_seq: int | None = None,
    ) -> AsyncIterator[Event]: ...

    def info(self) -> dict[str, Any]:
        """Facts for ``docker info``, ``corten info`` and CRI's Status."""
