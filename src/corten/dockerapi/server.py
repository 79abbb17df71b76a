"""The Docker Engine API on a listening socket: what the daemon calls.

The daemon makes the socket (path, mode, group), this module serves it. Everything a
request does is the engine's; closing the server ends connections, never containers.
"""

from __future__ import annotations

import socket

import msgspec

from corten.engine.contract import Engine
from corten.errors import Unimplemented


class DockerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the face needs to know of the daemon.

    Fields:
        root_dir: the daemon's data root, for ``docker info``.
        version: what ``docker version`` shows as the server's version.
        git_commit: likewise.
        shutdown_seconds: how long :meth:`DockerServer.close` waits for plain requests.
    """

    root_dir: str = "/var/lib/corten"
    version: str = ""
    git_commit: str = ""
    shutdown_seconds: float = 2.0


class DockerServer:
    """A running server; made by :func:`serve`."""

    async def close(self) -> None:
        """Stop accepting, end what is open, return when nothing runs any more. Idempotent."""
        raise Unimplemented("the Docker API is not implemented by corten yet")


async def serve(
    engine: Engine, listener: socket.socket, *, config: DockerConfig | None = None
) -> DockerServer:
    """Serve the Docker API on ``listener``, a bound and listening stream socket.

    Arguments:
        engine: answers everything.
        listener: owned by the server from here on.
    Returns:
        a server that accepts connections already.
    """
    raise Unimplemented("the Docker API is not implemented by corten yet")
