"""A connection to systemd's manager: calls, and waiting for its jobs."""

from __future__ import annotations

import posix
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from corten.cgroups import dbus
from corten.errors import (
    AlreadyExists,
    CortenError,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from corten.kernel import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The manager's own socket (root only) needs no bus; else it is reached through the system bus.
_PRIVATE = "/run/systemd/private"
_BUS = "/run/dbus/system_bus_socket"
_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_INTERFACE = "org.freedesktop.systemd1.Manager"
_TIMEOUT = 30.0  # seconds for one call or job
_READ = 65536

_ERRORS: dict[str, type[CortenError]] = {
    "org.freedesktop.systemd1.UnitExists": AlreadyExists,
    "org.freedesktop.systemd1.NoSuchUnit": NotFound,
    "org.freedesktop.DBus.Error.AccessDenied": PermissionDenied,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": PermissionDenied,
}


class Manager:
    """systemd's manager; close it after use.

    Raises:
        Unavailable: systemd does not run here, or its socket can't be reached.
    """

    def __init__(self) -> None:
        self._serial = 0
        self._buffer = bytearray()
        self._signals: list[dbus.Message] = []
        private = paths.exists(_PRIVATE) and posix.geteuid() == 0
        self._socket = _connect(_PRIVATE if private else _BUS)
        try:
            self._authenticate()
            if not private:
                self._hello()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _authenticate(self) -> None:
        """SASL EXTERNAL: the socket's credentials say who we are."""
        identity = str(posix.geteuid()).encode().hex()
        self._socket.sendall(b"\0AUTH EXTERNAL " + identity.encode() + b"\r\n")
        answer = self._socket.recv(_READ)
        if not answer.startswith(b"OK"):
            raise Unavailable("systemd refused the connection", path=_PRIVATE)
        self._socket.sendall(b"BEGIN\r\n")

    def _hello(self) -> None:
        bus, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
        self._exchange(dbus.Message(**_target(bus, path, bus, "Hello")))
        rule = f"type='signal',sender='{_NAME}',interface='{_INTERFACE}',member='JobRemoved'"
        self._exchange(
            dbus.Message(**_target(bus, path, bus, "AddMatch"), signature="s", body=(rule,))
        )
        self.call("Subscribe")

    def call(self, member: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        """Call a method of the manager; returns the body of its answer.

        Raises:
            CortenError: what systemd said; DeadlineExceeded after half a minute.
        """
        target = _target(_NAME, _PATH, _INTERFACE, member)
        return self._exchange(dbus.Message(**target, signature=signature, body=body)).body

    def run_job(self, member: str, signature: str, *body: Any) -> None:
        """Call a method that queues a job, and wait until the job is done.

        Raises:
            FailedPrecondition: the job ended otherwise than ``done``.
        """
        job = self.call(member, signature, *body)[0]
        end = time.monotonic() + _TIMEOUT
        while True:
            for signal in self._signals:
                if signal.member == "JobRemoved" and signal.body[1] == job:
                    if signal.body[3] not in ("done", "skipped"):
                        raise FailedPrecondition(
                            f"systemd's job ended with {signal.body[3]}",
                            step=f"systemd {member}",
                            path=str(body[0]),
                        )
                    return
            self._signals.clear()
            self._signals.append(self._receive(end, member))

    def _exchange(self, message: dbus.Message) -> dbus.Message:
        self._serial += 1
        values = {name: getattr(message, name) for name in message._fields}
        numbered = dbus.Message(**{**values, "serial": self._serial})
        self._socket.sendall(dbus.encode(numbered))
        end = time.monotonic() + _TIMEOUT
        while True:
            answer = self._receive(end, message.member)
            if answer.kind == dbus.SIGNAL:
                self._signals.append(answer)
            elif answer.reply_to == self._serial:
                break
        if answer.kind == dbus.ERROR:
            text = str(answer.body[0]) if answer.body else answer.error
            raise _ERRORS.get(answer.error, FailedPrecondition)(
                f"systemd answered: {text}", step=f"systemd {message.member}"
            )
        return answer

    def _receive(self, end: float, member: str) -> dbus.Message:
        while True:
            decoded = dbus.decode(self._buffer)
            if decoded:
                del self._buffer[: decoded[1]]
                return decoded[0]
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(
                    f"systemd did not answer within {_TIMEOUT:g} s", step=f"systemd {member}"
                )
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(_READ)
            except TimeoutError:
                continue
            if not piece:
                raise Unavailable("systemd closed the connection", step=f"systemd {member}")
            self._buffer += piece


def _target(destination: str, path: str, interface: str, member: str) -> dict[str, Any]:
    return {
        "kind": dbus.METHOD_CALL,
        "destination": destination,
        "path": path,
        "interface": interface,
        "member": member,
    }


def _connect(path: str) -> socket:
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.settimeout(_TIMEOUT)
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise Unavailable(
            f"systemd can't be reached: {posix.strerror(error.errno or 0)}",
            step="systemd cgroup",
            path=path,
            errno=error.errno or 0,
            hint="without systemd use cgroup paths like /corten/ID",
        ) from None
    return connection
