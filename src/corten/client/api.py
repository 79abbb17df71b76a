"""The entry of the public API: :class:`Client` and its collections."""

from __future__ import annotations

from posix import environ as _environ

from corten.client.connection import Connection
from corten.client.records import Container, Image, Network, Pod, Result, Transfer, Volume
from corten.client.streams import Stream
from corten.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

DEFAULT_STATE = "/run/corten"


class _Collection:
    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def _connection(self) -> Connection:
        return self._client.connection

    @property
    def _tenant(self) -> str:
        return self._client.tenant


class Containers(_Collection):
    """``client.containers``."""

    def _wrap(self, attrs: dict[str, Any]) -> Container:
        return Container(self._connection, self._tenant, attrs)

    def create(
        self, image: str, command: Sequence[str] | None = None, *, name: str = "",
        env: Mapping[str, str] | None = None, **config: Any,
    ) -> Container:  # fmt: skip
        """Make a container without starting it.

        Arguments:
            command: replaces the image's; None keeps it.
            env: variables for the process.
            config: further members of ``ContainerConfig`` (docs/protocol.md), as
                ``resources={"memory": 64 << 20}``.
        Raises:
            NotFound: the image is not there; :meth:`Images.pull` it first.
        """
        document = _config(image, command, env, config)
        return self._wrap(
            self._connection.call(
                "create_container", tenant=self._tenant, config=document, name=name
            )
        )

    def run(
        self, image: str, command: Sequence[str] | None = None, *, name: str = "",
        env: Mapping[str, str] | None = None, stdin: bytes = b"", remove: bool = True,
        **config: Any,
    ) -> Result:  # fmt: skip
        """Run a container to its end: exit code and output. Arguments as for :meth:`create`.

        Arguments:
            stdin: bytes for its standard input.
            remove: take the container away afterwards.
        """
        document = _config(image, command, env, config)
        document.update(auto_remove=remove, open_stdin=bool(stdin), stdin_once=bool(stdin))
        answers = self._connection.stream(
            "run", tenant=self._tenant, config=document, name=name, attach=True,
            stdin=bool(stdin), wait="removed" if remove else "not-running",
        )  # fmt: skip
        with Stream(next(answers).fds[0], tty=bool(document.get("tty"))) as stream:
            next(answers)
            if stdin:
                stream.write(stdin)
                stream.close_stdin()
            out, err = stream.read_all()
        return Result(int(next(answers).value["code"]), out, err)

    def start(
        self, image: str, command: Sequence[str] | None = None, *, name: str = "",
        env: Mapping[str, str] | None = None, **config: Any,
    ) -> Container:  # fmt: skip
        """Create and start in the background, in one round trip."""
        document = _config(image, command, env, config)
        last: dict[str, Any] = {}
        for answer in self._connection.stream(
            "run", tenant=self._tenant, config=document, name=name
        ):
            last = answer.value["started"] if answer.value and "started" in answer.value else last
        return self._wrap(last)

    def get(self, ref: str) -> Container:
        """By id, unique prefix of one, or name. Raises NotFound."""
        return self._wrap(self._connection.call("get_container", tenant=self._tenant, ref=ref))

    def list(self) -> list[Container]:
        """All containers of the tenant, in every state."""
        records = self._connection.call("list_containers", tenant=self._tenant)
        return [self._wrap(attrs) for attrs in records]

    def prune(
        self, wanted: Mapping[str, Any] | None = None, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Remove those that do not run: ``removed`` and ``space``."""
        return dict(
            self._connection.call(
                "prune_containers", tenant=self._tenant, wanted=dict(wanted or {}), dry_run=dry_run
            )
        )


class Images(_Collection):
    """``client.images``."""

    def _wrap(self, attrs: dict[str, Any]) -> Image:
        return Image(self._connection, self._tenant, attrs)

    def pull(
        self, ref: str, *, platform: str = "", auth: Mapping[str, str] | None = None,
        progress: Callable[[dict[str, Any]], object] | None = None,
    ) -> Image:  # fmt: skip
        """Fetch an image from its registry.

        Arguments:
            platform: ``linux/arm64``; empty: this machine's.
            auth: ``username`` and ``password``, or ``identity_token``.
            progress: called with each ``{"id", "status", "current", "total"}``.
        """
        arguments: dict[str, Any] = {"ref": ref, "platform": platform}
        if auth:
            arguments["auth"] = dict(auth)
        last: Any = None
        for answer in self._connection.stream("pull_image", tenant=self._tenant, **arguments):
            last = answer.value
            if not answer.final and progress is not None:
                progress(last)
        return self._wrap(last)

    def from_host(self, tag: str, programs: Sequence[str], cmd: Sequence[str] = ()) -> Image:
        """Make an image from programs of the daemon's machine and their libraries."""
        attrs = self._connection.call(
            "image_from_host",
            tenant=self._tenant,
            tag=tag,
            programs=list(programs),
            cmd=list(cmd),
        )
        return self._wrap(attrs)

    def ensure_hello(self) -> Image:
        """The embedded image ``hello``, made if it is not there yet."""
        return self._wrap(self._connection.call("ensure_hello", tenant=self._tenant))

    def get(self, ref: str) -> Image:
        return self._wrap(self._connection.call("get_image", tenant=self._tenant, ref=ref))

    def exists(self, ref: str) -> bool:
        """Whether :meth:`get` would find it."""
        try:
            self.get(ref)
        except NotFound:
            return False
        return True

    def list(self) -> list[Image]:
        records = self._connection.call("list_images", tenant=self._tenant)
        return [self._wrap(attrs) for attrs in records]

    def remove(self, ref: str, *, force: bool = False) -> Sequence[dict[str, Any]]:
        """Untag or delete; the events that tell which."""
        return list(
            self._connection.call("remove_image", tenant=self._tenant, ref=ref, force=force)
        )

    # away and back ---------------------------------------------------------------------
    def _call(self, op: str, **arguments: Any) -> Any:
        return self._connection.call(op, tenant=self._tenant, **arguments)

    def _transfer(self, op: str, **arguments: Any) -> Transfer:
        return Transfer(self._connection.stream(op, tenant=self._tenant, **arguments))

    def tag(self, ref: str, name: str) -> Image:
        """Give an image one more name."""
        return self._wrap(self._call("tag_image", ref=ref, name=name))

    def history(self, ref: str) -> Sequence[dict[str, Any]]:
        """How it came to be, newest step first."""
        return list(self._call("image_history", ref=ref))

    def save(self, refs: Sequence[str]) -> Transfer:
        """An archive of images."""
        return self._transfer("save_images", refs=list(refs))

    def load(self) -> Transfer:
        """Take images from an archive; finishing gives ``[{"id", "names"}]``."""
        return self._transfer("load_images")

    def import_archive(
        self, name: str = "", *, changes: Sequence[str] = (), comment: str = "",
        platform: str = "",
    ) -> Transfer:  # fmt: skip
        """Make an image of a file system's archive; finishing gives its record."""
        return self._transfer(
            "import_image", name=name, changes=list(changes), comment=comment, platform=platform
        )

    def push(
        self, ref: str, *, auth: Mapping[str, str] | None = None,
        progress: Callable[[dict[str, Any]], object] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Put an image into the registry that its name says; tag, digest and size."""
        arguments: dict[str, Any] = {"ref": ref, **({"auth": dict(auth)} if auth else {})}
        last: Any = None
        for answer in self._connection.stream("push_image", tenant=self._tenant, **arguments):
            last = answer.value
            if not answer.final and progress is not None:
                progress(last)
        return dict(last)

    def names(self, repository: str) -> Sequence[str]:
        """The names with a tag that a repository has here."""
        return list(self._call("repository_names", repository=repository))

    def tags(self, ref: str, *, auth: Mapping[str, str] | None = None) -> Sequence[str]:
        """All tags that a repository has at its registry."""
        arguments = {"auth": dict(auth)} if auth else {}
        return list(self._call("repository_tags", ref=ref, **arguments))

    def prune(
        self, wanted: Mapping[str, Any] | None = None, *, everything: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Remove images that nobody needs: ``removed`` and ``space``."""
        return dict(
            self._call(
                "prune_images", wanted=dict(wanted or {}), everything=everything, dry_run=dry_run
            )
        )


class Volumes(_Collection):
    """``client.volumes``."""

    def _wrap(self, attrs: dict[str, Any]) -> Volume:
        return Volume(self._connection, self._tenant, attrs)

    def create(
        self, name: str = "", *, driver: str = "", options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:  # fmt: skip
        """Make a volume, or get the one of this name.

        Arguments:
            options: ``type``, ``device`` and ``o`` of a mount, as docker's driver ``local``.
        """
        attrs = self._connection.call(
            "create_volume", tenant=self._tenant, name=name, driver=driver,
            options=None if options is None else dict(options),
            labels=None if labels is None else dict(labels),
        )  # fmt: skip
        return self._wrap(attrs)

    def get(self, name: str) -> Volume:
        """Raises NotFound."""
        return self._wrap(self._connection.call("get_volume", tenant=self._tenant, name=name))

    def list(self) -> list[Volume]:
        records = self._connection.call("list_volumes", tenant=self._tenant)
        return [self._wrap(attrs) for attrs in records]

    def remove(self, name: str, *, force: bool = False) -> None:
        """With its files; ``force``: one that is not there is no error."""
        self._connection.call("remove_volume", tenant=self._tenant, name=name, force=force)

    def prune(self, names: Sequence[str] | None = None) -> tuple[Sequence[str], int]:
        """Remove what no container uses, of ``names`` or of all; names and bytes."""
        chosen = None if names is None else [*names]
        answer = self._connection.call("prune_volumes", tenant=self._tenant, names=chosen)
        return answer["removed"], int(answer["freed"])


class Networks(_Collection):
    """``client.networks``."""

    def _wrap(self, attrs: dict[str, Any]) -> Network:
        return Network(self._connection, self._tenant, attrs)

    def create(self, name: str, **spec: Any) -> Network:
        """Make a network.

        Arguments:
            spec: further members of ``NetworkSpec`` (docs/protocol.md), as
                ``subnet4="10.1.0.0/24"``, ``internal=True``.
        """
        document = {"name": name, **spec}
        return self._wrap(
            self._connection.call("create_network", tenant=self._tenant, spec=document)
        )

    def get(self, ref: str) -> Network:
        """By name, id or a unique prefix of one. Raises NotFound."""
        return self._wrap(self._connection.call("get_network", tenant=self._tenant, ref=ref))

    def explain(
        self, src: str, dst: str, *, port: int = 0, protocol: str = "tcp"
    ) -> dict[str, Any]:
        """The way of a packet: ``arrives``, ``steps`` (``where``, ``what``, ``passes``), ``hint``.

        Arguments:
            src, dst: a container, an address, ``host`` or ``outside``.
        """
        return dict(
            self._connection.call(
                "explain_network", tenant=self._tenant, src=src, dst=dst, port=port,
                protocol=protocol,
            )
        )  # fmt: skip

    def prune(self, networks: Sequence[Network]) -> Sequence[Network]:
        """Remove those of ``networks`` that nobody is connected to; which they were."""
        ids = [network.id for network in networks]
        records = self._connection.call("prune_networks", tenant=self._tenant, ids=ids)
        return [self._wrap(attrs) for attrs in records]

    def list(self) -> list[Network]:
        """All of the tenant, and the built-in ones."""
        records = self._connection.call("list_networks", tenant=self._tenant)
        return [self._wrap(attrs) for attrs in records]


class Pods(_Collection):
    """``client.pods``: of the tenant ``k8s``, unless the client's own is another."""

    def _wrap(self, attrs: dict[str, Any]) -> Pod:
        return Pod(self._connection, self._tenant, attrs)

    def get(self, pod_id: str) -> Pod:
        return self._wrap(self._connection.call("get_pod", tenant=self._tenant, pod_id=pod_id))

    def list(self) -> list[Pod]:
        records = self._connection.call("list_pods", tenant=self._tenant)
        return [self._wrap(attrs) for attrs in records]


class Client:
    """A connection to a daemon on this machine.

    ::

        with Client() as client:
            print(client.containers.run("hello").stdout.decode())

    Arguments:
        path: the daemon's ``corten.sock``; None: ``$CORTEN_STATE/corten.sock``, with
            ``/run/corten`` as the default state directory; or a connection that is open.
        tenant: ``docker`` or ``k8s``: whose containers and images are seen.
    """

    def __init__(self, path: str | Connection | None = None, *, tenant: str = "docker") -> None:
        self.connection = path if isinstance(path, Connection) else Connection(path or _default())
        self.tenant = tenant
        self.containers = Containers(self)
        self.images = Images(self)
        self.volumes = Volumes(self)
        self.networks = Networks(self)
        self.pods = Pods(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def version(self) -> dict[str, Any]:
        """The daemon's version and protocol."""
        return dict(self.connection.call("hello"))

    def info(self) -> dict[str, Any]:
        return dict(self.connection.call("info"))

    def explain(self, ref: str, *, kind: str = "") -> dict[str, Any]:
        """What an object is made of on the daemon's machine, and what goes with it.

        Arguments:
            kind: ``container``, ``image``, ``volume``, ``network`` or ``pod``; empty: the first
                of them that has the name.
        """
        return dict(self.connection.call("explain", tenant=self.tenant, ref=ref, kind=kind))

    def disk_usage(self) -> dict[str, Any]:
        """What takes how much."""
        return dict(self.connection.call("disk_usage", tenant=self.tenant))

    def check_login(self, server: str, auth: Mapping[str, str]) -> None:
        """Ask a registry whether it takes these credentials. Raises Unauthenticated."""
        self.connection.call("check_login", tenant=self.tenant, server=server, auth=dict(auth))

    def remove_everything(self) -> None:
        """Remove every container, pod, network and volume of every tenant, in use or not."""
        for tenant in ("docker", "k8s"):
            client = Client(self.connection, tenant=tenant)
            for container in client.containers.list():
                try:
                    container.remove(force=True)
                except NotFound:
                    continue  # it had --rm
            for pod in client.pods.list():
                pod.stop()
                pod.remove()
            client.volumes.prune()
        for network in self.networks.list():
            if not network.attrs.get("built_in"):
                network.remove()

    def events(
        self, *, since: int | None = None, until: int | None = None, all_tenants: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Changes of state as they happen.

        Arguments:
            since, until: nanoseconds since the epoch; without ``until`` it never ends.
        """
        tenant = None if all_tenants else self.tenant
        for answer in self.connection.stream("events", tenant=tenant, since=since, until=until):
            if not answer.final:
                yield answer.value


def _default() -> str:
    """Where the daemon of this environment listens."""
    state = _environ.get(b"CORTEN_STATE", DEFAULT_STATE.encode()).decode()
    return f"{state}/corten.sock"


def _config(
    image: str,
    command: Sequence[str] | None,
    env: Mapping[str, str] | None,
    config: dict[str, Any],
) -> dict[str, Any]:
    document: dict[str, Any] = {"image": image, **config}
    if command is not None:
        document["cmd"] = list(command)
    if env is not None:
        document["env"] = [f"{key}={value}" for key, value in env.items()]
    return document
