"""``POST /images/create``: a pull, with its progress as a stream of JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping

import msgspec
from aiohttp import web

from corten.dockerapi.call import TENANT, Call, fault
from corten.engine.contract import ProgressSink
from corten.engine.types import Auth, Progress
from corten.errors import CortenError, InvalidArgument
from corten.spec import reference

_WITH_BAR = ("Downloading", "Extracting", "Pushing", "Loading layer")
_BAR = 50  # characters


class _Credentials(msgspec.Struct):
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


async def create_image(call: Call) -> web.StreamResponse:
    """Pull ``fromImage``; an error before the first progress has a status of its own."""
    known = auth(call.request.headers.get("X-Registry-Auth", ""))
    name, tag = call.text("fromImage"), call.text("tag")
    everything = wants_all(name, tag)
    ref = pulled_reference(name, tag or reference.DEFAULT_TAG if everything else tag)
    queue = Queue()
    pulling = asyncio.ensure_future(_pull(call, ref, known, queue.put, everything=everything))
    pulling.add_done_callback(lambda _: queue.close())
    first = await queue.get()
    if first is None and pulling.exception() is not None:
        pulling.result()  # raises
    response = await call.stream("application/json")
    while first is not None:
        await response.write(line(message(first)))
        first = await queue.get()
    try:
        await pulling
    except CortenError as error:
        await response.write(line(fault(error)))
    await response.write_eof()
    return response


async def _pull(
    call: Call,
    ref: reference.Reference,
    known: Auth | None,
    progress: ProgressSink,
    *,
    everything: bool,
) -> None:
    names = [str(ref)]
    if everything:
        tags = await call.engine.repository_tags(str(ref), auth=known)
        names = [f"{ref.repository}:{tag}" for tag in tags]
    platform = call.text("platform")
    for name in names:
        await call.engine.pull_image(TENANT, name, platform=platform, auth=known, progress=progress)


def wants_all(name: str, tag: str) -> bool:
    """Whether neither tag nor digest is given, which means all tags."""
    return bool(name) and not tag and "@" not in name and ":" not in name.rpartition("/")[2]


def pulled_reference(name: str, tag: str) -> reference.Reference:
    """What to pull; ``tag`` may be a digest, and stands above the name's own.

    Raises:
        InvalidArgument: no name, or a malformed one.
    """
    if not name:
        raise InvalidArgument("fromImage is missing")
    given = reference.parse(name)
    if given.digest is not None:
        return given
    if not tag:
        return given
    separator = "@" if ":" in tag else ":"
    return reference.parse(f"{given.repository}{separator}{tag}")


def auth(header: str) -> Auth | None:
    """``X-Registry-Auth``; what is malformed counts as none, as dockerd has it for a pull."""
    if not header:
        return None
    try:
        text = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        given = msgspec.json.decode(text, type=_Credentials)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
    if not (given.username or given.identitytoken or given.registrytoken):
        return None
    return Auth(
        username=given.username or "",
        password=given.password or "",
        identity_token=given.identitytoken or "",
        registry_token=given.registrytoken or "",
    )


def message(progress: Progress) -> dict[str, object]:
    """One step in docker's shape."""
    shown: dict[str, object] = {"status": progress.status}
    if progress.id:
        shown |= {"progressDetail": {}, "id": progress.id}
        if progress.status in _WITH_BAR and progress.total:
            detail = {"current": progress.current, "total": progress.total}
            shown |= {"progressDetail": detail, "progress": bar(progress.current, progress.total)}
    return shown


def bar(current: int, total: int) -> str:
    """The progress as old clients print it, sizes in decimal units."""
    done = min(_BAR, _BAR * current // total)
    arrow = "=" * done + ">" if done < _BAR else "=" * _BAR + ">"
    return f"[{arrow:<{_BAR + 1}}] {size(current):>8}/{size(total)}"


def size(count: int) -> str:
    """Bytes with four significant digits (``1.234MB``)."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.4g}{unit}"


def line(value: Mapping[str, object]) -> bytes:
    """One message of a stream."""
    return msgspec.json.encode(value) + b"\r\n"


class Queue:
    """Progress on its way to a client that may be slow: of each layer's states the newest."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], Progress] = {}
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, step: Progress) -> None:
        self._steps[step.id, step.status] = step
        self._filled.set()

    def close(self) -> None:
        self._closed = True
        self._filled.set()

    async def get(self) -> Progress | None:
        """The next step; ``None`` after the last."""
        while not self._steps:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        return self._steps.pop(next(iter(self._steps)))
