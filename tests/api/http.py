"""HTTP over a UNIX socket, and calls written as one line: ``GET containers/json 200 length=0``."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a path."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """A client that checks what it is told to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.headers: dict[str, str] = {}

    def __call__(self, line: str, body: Any = None) -> Any:
        """Make a call and check its answer.

        Arguments:
            line: method, path, status, then checks: ``length=2``, ``.Key=value`` (dots lead
                into objects and lists, the value is text, or JSON), ``says=words_of_it``.
        Returns:
            the decoded answer.
        """
        method, path, status, *checks = line.split()
        answer, code = self._ask(method, path, body)
        assert code == int(status), f"{line}: {code} {answer}"
        for check in checks:
            name, _, wanted = check.partition("=")
            if name == "length":
                assert len(answer) == int(wanted), f"{line}: {answer}"
            elif name == "says":
                assert wanted.replace("_", " ") in answer["message"], f"{line}: {answer}"
            else:
                found = _find(answer, name)
                assert found == wanted or json.dumps(found) == wanted, f"{line}: {answer}"
        return answer

    def _ask(self, method: str, path: str, body: Any) -> tuple[Any, int]:
        connection = UnixConnection(self._path)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/{path}", data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.headers = dict(response.getheaders())
            text = response.read()
        finally:
            connection.close()
        if self.headers.get("Content-Type") != "application/json":
            return text, response.status
        values = [json.loads(line) for line in text.splitlines()]  # a stream has several
        return values[0] if len(values) == 1 else values, response.status


def _find(value: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
