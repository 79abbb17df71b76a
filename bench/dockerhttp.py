"""As much of a Docker API client as costs next to nothing itself, for rows with many clients."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

CLIENTS = 8


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Docker:
    """One connection that is kept; for one thread.

    Arguments:
        host: as in DOCKER_HOST, ``unix://…``.
    """

    def __init__(self, host: str) -> None:
        self._connection = _Unix(host.removeprefix("unix://"))

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer's document. Raises RuntimeError for a status from 400 on."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {data!r}")
        return json.loads(data) if data else None

    def start(self, name: str, config: Mapping[str, object]) -> str:
        """Create and start a container; its id."""
        made: str = self.ask("POST", f"/containers/create?name={name}", config)["Id"]
        self.ask("POST", f"/containers/{made}/start")
        return made

    def remove(self, name: str) -> None:
        self.ask("DELETE", f"/containers/{name}?force=1")

    def wait(self, name: str) -> int:
        """Its exit code."""
        code: int = self.ask("POST", f"/containers/{name}/wait")["StatusCode"]
        return code

    def close(self) -> None:
        self._connection.close()


def by_all(host: str, count: int, action: Callable[[Docker, int], object]) -> None:
    """``action`` for each number below ``count``, by eight clients at once."""
    numbers = itertools.count()  # its next() is atomic
    errors: list[BaseException] = []

    def work() -> None:
        docker = Docker(host)
        try:
            while (number := next(numbers)) < count and not errors:
                action(docker, number)
        except BaseException as error:
            errors.append(error)
        finally:
            docker.close()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
