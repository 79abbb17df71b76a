"""The Container Runtime Interface v1 at ``S/cri.sock``: what the daemon calls.

Everything a request does is the engine's; closing the server ends calls, never pods.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import grpc.aio
import msgspec

from corten.cri.containers import Containers
from corten.cri.execs import Execs
from corten.cri.handlers import generic_handler
from corten.cri.images import Images
from corten.cri.pb import cri_pb2
from corten.cri.pods import Pods
from corten.cri.runtime import Runtime
from corten.engine.contract import Engine

# The kubelet refuses answers of more than 16 MiB itself; lists of many thousand containers
# are larger, and the kubelet's limit is to say so, not ours.
_OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", -1),
]


class CriConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the face needs to know of the daemon.

    Fields:
        root_dir: the daemon's data root, the file system of images and containers.
        version: shown as the runtime's version.
        shutdown_seconds: how long :meth:`CriServer.close` waits for calls that run.
    """

    root_dir: str = "/var/lib/corten"
    version: str = ""
    shutdown_seconds: float = 1.0


class CriServer:
    """A running server; made by :func:`serve`."""

    def __init__(self, server: grpc.aio.Server, path: Path, config: CriConfig) -> None:
        self._server = server
        self._path = path
        self._config = config

    async def close(self) -> None:
        """Stop accepting, end what is open. Idempotent."""
        await self._server.stop(self._config.shutdown_seconds)
        self._path.unlink(missing_ok=True)


async def serve(engine: Engine, path: str, *, config: CriConfig | None = None) -> CriServer:
    """Serve CRI at a UNIX socket that only root may use.

    Arguments:
        path: at most 107 bytes; what is there is replaced.
    Returns:
        a server that accepts connections already.
    """
    settings = config or CriConfig()
    target = Path(path)
    server = grpc.aio.server(options=_OPTIONS)
    services = cri_pb2.DESCRIPTOR.services_by_name
    server.add_generic_rpc_handlers(
        (
            generic_handler(
                services["RuntimeService"],
                Runtime(engine, settings.version),
                Pods(engine),
                Containers(engine),
                Execs(engine),
            ),
            generic_handler(services["ImageService"], Images(engine, settings.root_dir)),
        )
    )
    # gRPC makes the socket with the umask's mode, so it is made where nobody else can enter
    # and renamed when its mode is right.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as private:
        fresh = Path(private) / "s"
        server.add_insecure_port(f"unix:{fresh}")
        await server.start()
        fresh.chmod(0o600)
        fresh.rename(target)
    return CriServer(server, target, settings)
