"""Pulling with progress: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from corten.cli import credentials, human
from corten.cli.names import canonical, familiar
from corten.cli.session import Session
from corten.client import Image
from corten.errors import InvalidArgument, NotFound

HELLO = ("hello", "hello:latest", "docker.io/library/hello:latest")
_MOVING = ("Downloading", "Extracting", "Pushing")
_REFRESH = 0.1  # seconds


class Sink(Protocol):
    def update(self, item: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


def ensure_image(session: Session, ref: str, platform: str, *, policy: str, quiet: bool) -> None:
    """What ``run`` and ``create`` do about an image: pull it where ``--pull`` says so."""
    images = session.client.images
    if policy != "always" and images.exists(ref):
        return
    if ref in HELLO and policy != "always":
        images.ensure_hello()
        return
    if policy == "never":
        raise NotFound(f"no such image: {ref}", hint="leave out --pull never to fetch it")
    if policy == "missing":
        print(f"Unable to find image '{familiar(canonical(ref))}' locally", file=sys.stderr)
    pull(session, ref, platform=platform, quiet=quiet, out=sys.stderr)


def pull(session: Session, ref: str, *, platform: str, quiet: bool, out: TextIO) -> Image:
    """Pull and show how it goes, as docker does."""
    if "://" in ref:
        raise InvalidArgument(f"invalid reference format: {ref!r}", hint="leave out the scheme")
    name = canonical(ref)
    shown = sink(out, quiet=quiet)
    try:
        return session.client.images.pull(
            ref,
            platform=platform,
            auth=credentials.for_image(name, credentials.default_path()),
            progress=shown.update,
        )
    finally:
        shown.close()


def sink(out: TextIO, *, quiet: bool) -> Sink:
    """Where progress goes."""
    return Silent() if quiet else Bars(out) if out.isatty() else Lines(out)


class Silent:
    def update(self, item: dict[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """One line per change of a layer's state."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: dict[str, str] = {}

    def update(self, item: dict[str, Any]) -> None:
        name, status = item.get("id", ""), item["status"]
        if status in _MOVING or self._last.get(name) == status:
            return
        self._last[name] = status
        print(f"{name}: {status}" if name else status, file=self._out, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class Bars:
    """One bar per layer, redrawn in place at most ten times a second."""

    def __init__(self, out: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[layer]}"),
            TextColumn("{task.description:18}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=Console(file=out),
            auto_refresh=False,  # a thread would be one more thing to end
        )
        self._out = out
        self._result: list[str] = []  # digest and status: they belong below the bars
        self._tasks: dict[str, TaskID] = {}
        self._drawn = 0.0
        self._progress.start()

    def update(self, item: dict[str, Any]) -> None:
        name, status = item.get("id", ""), item["status"]
        if not name:
            self._result.append(status)
            return
        if status.startswith("Pulling from"):
            line = f"{name}: {status}"
            self._progress.print(line, highlight=False, markup=False, soft_wrap=True)
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(status, layer=name, amount="", total=1)
        task, total = self._tasks[name], item.get("total", 0)
        if status in _MOVING and total:
            done = item.get("current", 0)
            amount = f"{human.size(done)}/{human.size(total)}"
            self._progress.update(task, completed=done / total, amount=amount)
        elif status.endswith(("complete", "exists")):
            self._progress.update(task, completed=1, amount="")
        self._progress.update(task, description=status)
        self._draw()

    def _draw(self) -> None:
        now = monotonic()
        if now - self._drawn > _REFRESH:
            self._drawn = now
            self._progress.refresh()

    def close(self) -> None:
        self._progress.refresh()
        self._progress.stop()
        print("".join(f"{line}\n" for line in self._result), end="", file=self._out)
