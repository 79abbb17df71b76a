"""What thin client and worker say to each other at ``S/cli.sock``.

The client opens with a request: ``length (4 bytes)`` and fields joined by NUL bytes,
with the descriptors 0, 1, 2 and, where it can be opened, the working directory. After it both sides
send messages: ``kind (1 byte), length (4 bytes)`` and a payload. Part of what a thin
client imports, so it imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# worker to client
ATTACH: Final = b"A"  # flags (1 byte) and detach keys; the stream's descriptor comes along
EXIT: Final = b"X"  # exit code (1 byte): the last message
REFUSE: Final = b"R"  # reason: run the command line in the client's own process
RELEASE: Final = b"L"  # stop copying, so that the worker may print

# client to worker
SIGNAL: Final = b"s"  # number (1 byte)
RESIZE: Final = b"w"  # rows, columns (2 bytes each)
DONE: Final = b"d"  # b"e": the stream has ended; b"d": detach keys were typed; b"r": released

# flags of ATTACH
TTY: Final = 1
STDIN: Final = 2
PROXY: Final = 4  # signals go to the container
SCREEN: Final = 8  # the stream draws on the terminal's other screen

FORMAT: Final = b"corten-cli-1"


class Request:
    """A command line and what it was typed in."""

    __slots__ = ("argv", "environ", "umask", "version")

    def __init__(
        self, *, version: str, umask: int, argv: list[bytes], environ: dict[bytes, bytes]
    ) -> None:
        self.version = version
        self.umask = umask
        self.argv = argv
        self.environ = environ


def encode_request(request: Request) -> bytes:
    """The request with its length in front."""
    fields = [
        FORMAT,
        request.version.encode(),
        b"%d" % request.umask,
        b"%d" % len(request.argv),
        *request.argv,
        *[key + b"=" + value for key, value in request.environ.items()],
    ]
    body = b"\0".join(fields)
    return len(body).to_bytes(4, "big") + body


def decode_request(body: bytes) -> Request:
    """Inverse of :func:`encode_request` (without the length). ValueError: another format."""
    fields = body.split(b"\0")
    if fields[0] != FORMAT or len(fields) < 4:
        raise ValueError("not a request of this version")
    count = int(fields[3])
    environ: dict[bytes, bytes] = {}
    for entry in fields[4 + count :]:
        key, _, value = entry.partition(b"=")
        environ[key] = value
    return Request(
        version=fields[1].decode(),
        umask=int(fields[2]),
        argv=fields[4 : 4 + count],
        environ=environ,
    )


def message(kind: bytes, payload: bytes = b"") -> bytes:
    """One message."""
    return kind + len(payload).to_bytes(4, "big") + payload


def take(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Remove the first whole message from ``buffer``: kind and payload, or None."""
    if len(buffer) < 5:
        return None
    end = 5 + int.from_bytes(buffer[1:5], "big")
    if len(buffer) < end:
        return None
    kind, payload = bytes(buffer[:1]), bytes(buffer[5:end])
    del buffer[:end]
    return kind, payload
