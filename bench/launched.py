"""The native runtime behind a launcher of its own, without a daemon."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from corten.launch.messages import Kill
from tests.contract.driver import Container, Host

AT_ONCE = 8


class Launched:
    """While it is entered, containers of one bundle's configuration can be made.

    Arguments:
        roots: a directory on a tmpfs.
        bundle: whose ``config.json`` and ``rootfs`` are used.
    """

    def __init__(self, roots: Path, bundle: Path) -> None:
        self._bundle = bundle
        self._roots = roots
        self._numbers = itertools.count()
        self._config = json.loads((bundle / "config.json").read_text())

    def __enter__(self) -> Self:
        self._host = Host(place=self._roots)
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()

    def _made(self, config: dict[str, Any]) -> Container:
        name = f"launched{next(self._numbers)}"
        rootfs = str(self._bundle / "rootfs")
        return Container(self._host, name, config, rootfs=rootfs, log={"driver": "none"}).create()

    def cycle(self) -> None:
        """Create, start, wait, delete."""
        self._end(self._made(self._config).start())

    def cycles(self) -> None:
        """Eight at once."""
        made = [self._made(self._config).start() for _ in range(AT_ONCE)]
        for container in made:
            self._end(container)

    def _end(self, container: Container) -> None:
        exited = container.wait()
        shutil.rmtree(container.dir)
        if exited.code:
            raise RuntimeError(f"exit {exited.code}")

    @contextlib.contextmanager
    def running(self, config: dict[str, Any]) -> Iterator[Callable[[], None]]:
        """A container of this configuration: the function executes ``/bin/true`` in it."""
        container = self._made(config).start()
        numbers = itertools.count()

        def execute() -> None:
            container.exec(["/bin/true"], exec_id=f"e{next(numbers)}", attach=False)
            exited = container.talk.event("exec-exit")
            if exited.code:
                raise RuntimeError(str(exited))

        try:
            yield execute
        finally:
            container.talk.ask(Kill(signal=9))
            container.wait()
            shutil.rmtree(container.dir)
