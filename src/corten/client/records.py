"""Containers, images and pods as the public API shows them: the daemon's record, and verbs.

``attrs`` is the record as it travelled (docs/protocol.md); members at their defaults are
left out of it.
"""

from __future__ import annotations

from corten.client.streams import Stream
from corten.spec import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from corten.client.connection import Connection


class Result:
    """How a process ended: its exit code and, where it was captured, its output."""

    __slots__ = ("code", "stderr", "stdout")

    def __init__(self, code: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"Result(code={self.code}, stdout={self.stdout!r}, stderr={self.stderr!r})"


class LogLine:
    """One line of a log: nanoseconds since the epoch, 1 or 2, and its bytes."""

    __slots__ = ("data", "partial", "stream", "time")

    def __init__(self, time: int, stream: int, partial: bool, data: bytes) -> None:
        self.time = time
        self.stream = stream
        self.partial = partial
        self.data = data


class Transfer:
    """An archive on its way to or from the daemon's machine.

    Attributes:
        fd: to read from or write to; the caller closes it. When all is written, close it.
        value: what the daemon told first.
    """

    def __init__(self, answers: Iterator[Any]) -> None:
        self._answers = answers
        first = next(answers)
        self.fd: int = first.fds[0]
        self.value: Any = first.value

    def finish(self, progress: Callable[[dict[str, Any]], object] | None = None) -> Any:
        """Wait for the end; what came of it. Raises what went wrong."""
        for answer in self._answers:
            if answer.final:
                return answer.value
            if progress is not None:
                progress(answer.value)
        return None


class _Record:
    def __init__(self, connection: Connection, tenant: str, attrs: dict[str, Any]) -> None:
        self._connection = connection
        self._tenant = tenant
        self.attrs = attrs

    @property
    def id(self) -> str:
        return str(self.attrs["id"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id[:19]}>"


class Container(_Record):
    """A container. Verbs raise :class:`corten.errors.CortenError`."""

    @property
    def name(self) -> str:
        return str(self.attrs["name"])

    @property
    def status(self) -> str:
        """created, running, paused, restarting, removing, exited or dead, as last read."""
        return str(self.attrs.get("state", {}).get("status", "created"))

    @property
    def exit_code(self) -> int:
        return int(self.attrs.get("state", {}).get("exit_code", 0))

    def _call(self, op: str, **arguments: Any) -> Any:
        return self._connection.call(op, tenant=self._tenant, ref=self.id, **arguments)

    def reload(self) -> Container:
        """Read the record again."""
        self.attrs = self._call("get_container")
        return self

    def start(self) -> Container:
        self.attrs = self._call("start_container")
        return self

    def stop(self, *, timeout: float | None = None, signal: str = "") -> Container:
        """The stop signal, then SIGKILL after ``timeout`` seconds (None: the container's own)."""
        self.attrs = self._call("stop_container", timeout=timeout, signal=signal)
        return self

    def restart(self, *, timeout: float | None = None, signal: str = "") -> Container:
        """Stop it, if it runs, and start it; one made to be removed with its end stays."""
        self.attrs = self._call("restart_container", timeout=timeout, signal=signal)
        return self

    def kill(self, signal: str = "KILL") -> None:
        self._call("kill_container", signal=signal)

    def wait(self, condition: str = "not-running") -> int:
        """The exit code, when there is one."""
        return int(self._call("wait_container", condition=condition)["code"])

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        self._call("remove_container", force=force, volumes=volumes)

    def pause(self) -> None:
        self._call("pause_container")

    def unpause(self) -> None:
        self._call("unpause_container")

    def rename(self, name: str) -> Container:
        self.attrs = self._call("rename_container", name=name)
        return self

    def update(
        self, *, resources: Mapping[str, Any] | None = None,
        restart: Mapping[str, Any] | None = None,
    ) -> Container:  # fmt: skip
        """New limits (``Resources`` in docs/protocol.md) or another restart policy."""
        changes = {"resources": resources, "restart": restart}
        given = {name: dict(value) for name, value in changes.items() if value is not None}
        self.attrs = self._call("update_container", changes=given)
        return self

    def stats(self) -> dict[str, Any]:
        """What it uses now: ``counters`` and ``networks``."""
        return dict(self._call("container_stats"))

    def resize(self, rows: int, cols: int) -> None:
        self._call("resize_container", rows=rows, cols=cols)

    def top(self) -> list[int]:
        """Its processes, as numbers of the daemon's PID namespace."""
        return list(self._call("top_container"))

    def attach(self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> Stream:
        """Its standard streams, also before the start. They do not end with the daemon."""
        fd = self._connection.call_for_fd(
            "attach_container", tenant=self._tenant, ref=self.id,
            stdin=stdin, stdout=stdout, stderr=stderr,
        )  # fmt: skip
        return Stream(fd, tty=bool(self.attrs["config"].get("tty")))

    def logs(
        self, *, stdout: bool = True, stderr: bool = True, follow: bool = False,
        tail: int | None = None, since: int = 0, until: int = 0,
    ) -> Iterator[LogLine]:  # fmt: skip
        """What it wrote.

        Arguments:
            tail: only the last so many lines; None: all.
            since, until: nanoseconds since the epoch; 0: no limit.
        """
        answers = self._connection.stream(
            "logs", tenant=self._tenant, ref=self.id, stdout=stdout, stderr=stderr,
            follow=follow, tail=tail, since=since, until=until,
        )  # fmt: skip
        for answer in answers:
            for line in frames.decode_lines(answer.lines):
                yield LogLine(*line)

    # files -----------------------------------------------------------------------------
    def _transfer(self, op: str, **arguments: Any) -> Transfer:
        return Transfer(self._connection.stream(op, tenant=self._tenant, ref=self.id, **arguments))

    def stat(self, path: str) -> dict[str, Any]:
        """What a path inside is: name, size, mode (as Go's ``os.FileMode``), link_target."""
        return dict(self._call("stat_path", path=path))

    def copy_out(self, path: str) -> Transfer:
        """A file or tree as a tar archive; ``value`` is as :meth:`stat`."""
        return self._transfer("copy_out", path=path)

    def copy_in(self, path: str, *, keep_kinds: bool = True, keep_owner: bool = False) -> Transfer:
        """Unpack a tar archive below a directory inside."""
        return self._transfer("copy_in", path=path, keep_kinds=keep_kinds, keep_owner=keep_owner)

    def export(self) -> Transfer:
        """The whole root file system as a tar archive."""
        return self._transfer("export_container")

    def changes(self) -> list[dict[str, Any]]:
        """``path`` and ``kind`` (0 changed, 1 added, 2 deleted) of what differs from the image."""
        return list(self._call("container_changes"))

    def commit(
        self, name: str = "", *, author: str = "", comment: str = "",
        changes: Sequence[str] = (), pause: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        """Make an image of what it changed; the image's record."""
        return dict(
            self._call(
                "commit_container",
                name=name,
                author=author,
                comment=comment,
                changes=list(changes),
                pause=pause,
            )
        )

    def size(self) -> dict[str, Any]:
        """Bytes that it wrote (``writable``), and of its whole file system (``root``)."""
        return dict(self._call("container_size"))

    def exec(
        self, args: Sequence[str], *, env: Mapping[str, str] | None = None, user: str = "",
        working_dir: str = "", stdin: bytes = b"",
    ) -> Result:  # fmt: skip
        """Run another process inside and wait for it."""
        config = {
            "args": list(args), "user": user, "working_dir": working_dir,
            "env": [f"{k}={v}" for k, v in (env or {}).items()],
            "attach_stdin": bool(stdin), "attach_stdout": True, "attach_stderr": True,
        }  # fmt: skip
        answers = self._connection.stream(
            "run_exec", tenant=self._tenant, ref=self.id, config=config
        )
        with Stream(next(answers).fds[0], tty=False) as stream:
            if stdin:
                stream.write(stdin)
            stream.close_stdin()
            out, err = stream.read_all()
        return Result(int(next(answers).value), out, err)


class Image(_Record):
    """An image of the daemon's store."""

    @property
    def tags(self) -> list[str]:
        return list(self.attrs.get("tags", ()))

    def remove(self, *, force: bool = False) -> list[dict[str, Any]]:
        """Untag or delete it; the events that tell which."""
        return list(
            self._connection.call("remove_image", tenant=self._tenant, ref=self.id, force=force)
        )


class Volume(_Record):
    """Files that outlive the containers which use them."""

    @property
    def id(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return str(self.attrs["name"])

    @property
    def path(self) -> str:
        """Where the files lie on the daemon's machine."""
        return str(self.attrs["path"])

    def remove(self) -> None:
        """With its files. FailedPrecondition: a container uses it, running or not."""
        self._connection.call("remove_volume", tenant=self._tenant, name=self.name)


class Pod(_Record):
    """A Kubernetes pod's sandbox."""

    @property
    def name(self) -> str:
        return str(self.attrs["config"]["name"])

    def stop(self) -> None:
        self._connection.call("stop_pod", tenant=self._tenant, pod_id=self.id)

    def remove(self) -> None:
        self._connection.call("remove_pod", tenant=self._tenant, pod_id=self.id)


class Network(_Record):
    """A network. Verbs raise :class:`corten.errors.CortenError`."""

    @property
    def name(self) -> str:
        return str(self.attrs["name"])

    def connect(
        self, container: str, *, aliases: Sequence[str] = (), ipv4: str = "", ipv6: str = "",
        mac_address: str = "",
    ) -> None:  # fmt: skip
        """Connect a container, running or not.

        Arguments:
            container: its id or name.
            aliases: names under which the others of the network find it, besides its own.
            ipv4, ipv6: addresses, where the network's subnets were chosen by its maker.
        """
        request = {
            "network": self.name, "aliases": list(aliases), "ipv4": ipv4, "ipv6": ipv6,
            "mac_address": mac_address,
        }  # fmt: skip
        self._connection.call(
            "connect_network", tenant=self._tenant, ref=container, request=request
        )

    def disconnect(self, container: str, *, force: bool = False) -> None:
        """Disconnect a container, running or not."""
        self._connection.call(
            "disconnect_network", tenant=self._tenant, ref=container, network=self.id, force=force
        )

    def reload(self) -> Network:
        """Read the record again."""
        self.attrs = self._connection.call("get_network", tenant=self._tenant, ref=self.id)
        return self

    def remove(self) -> None:
        """Remove it; nobody may be connected."""
        self._connection.call("remove_network", tenant=self._tenant, ref=self.id)
