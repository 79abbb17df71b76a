"""The protocol by hand, so that the server's tests don't prove the client with itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any


class Raw:
    """One connection: send a request, read frames."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fds: list[int] = []
        self._buffer = b""

    @classmethod
    async def connect(cls, path: Path) -> Raw:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
        return cls(sock)

    def close(self) -> None:
        self.sock.close()
        for fd in self.fds:
            os.close(fd)

    async def send(self, number: int, payload: bytes, *, kind: int = 1, version: int = 1) -> None:
        header = struct.pack(">IBBHI", len(payload), version, kind, 0, number)
        await asyncio.get_running_loop().sock_sendall(self.sock, header + payload)

    async def ask(self, number: int, op: str, **arguments: Any) -> None:
        await self.send(number, json.dumps({"op": op, **arguments}).encode())

    async def frame(self) -> tuple[int, int, Any]:
        """``(kind, request, value)``; lines' payload stays bytes; b"" kind 0 at the end."""
        header = await self._exactly(12)
        if not header:
            return 0, 0, None
        length, version, kind, _fds, number = struct.unpack(">IBBHI", header)
        assert version == 1
        payload = await self._exactly(length)
        return kind, number, payload if kind == 5 else json.loads(payload)

    async def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._readable()
            data, fds, _flags, _address = socket.recv_fds(self.sock, 65536, 8)
            self.fds += fds
            if not data:
                return b""
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            if not future.done():
                future.set_result(None)

        loop.add_reader(self.sock, ready)
        try:
            await asyncio.wait_for(future, 10)
        finally:
            loop.remove_reader(self.sock)
