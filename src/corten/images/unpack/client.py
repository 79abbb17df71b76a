"""The daemon's side of the unpack worker: starts it, tells it what has arrived, hears it out."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable
from struct import pack
from typing import Any

import corten
from corten.errors import CortenError, Internal, from_dict
from corten.images.unpack.source import ANNOUNCEMENT
from corten.spec import jsonlite
from corten.spec._struct import Struct

_BOOT = "import sys; sys.path[:0] = {paths!r}; from corten.images.unpack.worker import main; main()"
_LINE = 1 << 24  # the answer lists directories: bytes of one line
_GRACE = 5.0  # seconds that a worker has to end after its answer


class Unpacked(Struct):
    """What a worker made of a layer.

    Fields:
        size: bytes of all files. inodes: of all entries.
        opaque, implicit: directories, for :mod:`corten.images.unpack.finish`.
        confined: whether it ran in namespaces of its own.
    """

    size: int
    inodes: int
    opaque: tuple[str, ...]
    implicit: tuple[str, ...]
    confined: bool


class Limits(Struct):
    """What one layer may take."""

    size: int
    ratio: int


def program_paths() -> list[str]:
    """Where a bare interpreter finds our packages and what unpacks."""
    paths = [os.path.dirname(os.path.dirname(os.path.abspath(corten.__file__)))]
    for name in ("isal", "zstandard"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            site = os.path.dirname(os.path.dirname(spec.origin))
            if site not in paths:
                paths.append(site)
    return paths


def command() -> list[str]:
    """The program, without its job: this interpreter, bare, with our packages' directories."""
    return [sys.executable, "-IS", "-c", _BOOT.format(paths=program_paths())]


class Worker:
    """One run of the program. Use as ``async with``: at the end the process is gone."""

    def __init__(
        self,
        blob: int,
        target: str,
        *,
        diff_id: str,
        overlay: bool,
        limits: Limits,
        follow: bool,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Arguments:
        blob: descriptor of the packed layer; stays the caller's.
        target: empty directory, absolute.
        diff_id: what the archive must hash to.
        overlay: whiteouts in overlayfs's notation.
        follow: the blob is still growing; :meth:`announce` tells how far it is.
        on_progress: called with the packed bytes that are done.
        """
        self._blob = blob
        self._progress = on_progress
        self._job = {
            "blob": blob,
            "follow": 0 if follow else -1,
            "target": target,
            "overlay": overlay,
            "diff_id": diff_id,
            "limit": limits.size,
            "ratio": limits.ratio,
            "confine": os.geteuid() == 0,
            "report": on_progress is not None,
            "parent": os.getpid(),
        }
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Worker:
        self._process = await asyncio.create_subprocess_exec(
            *command(),
            jsonlite.dumps(self._job),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(self._blob,),
            limit=_LINE,
            env={},
            cwd="/",
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        # Reads what is left of the pipes, too: transports must end before the loop does.
        await asyncio.shield(process.wait())

    def announce(self, size: int, *, final: bool = False) -> None:
        """So many bytes of the blob can be read; ``final``: that is all of it, verified."""
        assert self._process is not None and self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(pack(ANNOUNCEMENT, size, final))

    async def result(self) -> Unpacked:
        """Wait for the end.

        Raises:
            CortenError: what went wrong in the worker; Internal if it died.
        """
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = jsonlite.loads(line, what="the unpack worker's answer")
            if "progress" in message:
                if self._progress is not None:
                    self._progress(int(message["progress"]))
            elif "error" in message:
                raise from_dict(message["error"])
            else:
                return _unpacked(message["ok"])
        raise await self._died()

    async def _died(self) -> CortenError:
        assert self._process is not None and self._process.stderr is not None
        noise = (await self._process.stderr.read()).decode("utf-8", "replace").strip()
        code = await self._process.wait()
        last = noise.splitlines()[-1] if noise else "it said nothing"
        return Internal(f"the unpack worker ended with {code}: {last[:300]}", step="unpack layer")


def _unpacked(answer: dict[str, Any]) -> Unpacked:
    return Unpacked(
        size=int(answer["size"]),
        inodes=int(answer["inodes"]),
        opaque=tuple(answer["opaque"]),
        implicit=tuple(answer["implicit"]),
        confined=bool(answer["confined"]),
    )
