"""A container's ``Config`` as docker shows it: the user's over the image's. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corten.engine.types import Container, HealthConfig

_NANOSECONDS = 10**9


def config(container: Container, image: dict[str, Any]) -> dict[str, Any]:
    """The ``Config`` object.

    Arguments:
        image: the ``config`` member of the image's configuration, ``{}`` where unknown.
    """
    own = container.config
    entrypoint, cmd = _program(container, image)
    attach = container.origin.get("attach", ())
    result: dict[str, Any] = {
        "Hostname": own.hostname or ("" if own.namespaces.uts == "host" else container.id[:12]),
        "Domainname": own.domainname,
        "User": own.user or image.get("User", ""),
        "AttachStdin": "stdin" in attach,
        "AttachStdout": "stdout" in attach,
        "AttachStderr": "stderr" in attach,
        "Tty": own.tty,
        "OpenStdin": own.open_stdin,
        "StdinOnce": own.stdin_once,
        "Env": environment(own.env, image.get("Env") or ()),
        "Cmd": cmd,
        "Image": own.image,
        "Volumes": {place: {} for place in own.volumes} or None,
        "WorkingDir": own.working_dir or image.get("WorkingDir", ""),
        "Entrypoint": entrypoint,
        "OnBuild": image.get("OnBuild") or None,
        "Labels": {**(image.get("Labels") or {}), **own.labels},
    }
    exposed = {**(image.get("ExposedPorts") or {}), **{port: {} for port in own.exposed_ports}}
    if exposed:
        result["ExposedPorts"] = exposed
    if own.stop_signal or image.get("StopSignal"):
        result["StopSignal"] = own.stop_signal or image["StopSignal"]
    if own.stop_timeout is not None:
        result["StopTimeout"] = own.stop_timeout
    if own.health is not None:
        result["Healthcheck"] = _health(own.health)
    elif image.get("Healthcheck"):
        result["Healthcheck"] = image["Healthcheck"]
    return result


def environment(own: Iterable[str], image: Iterable[str]) -> list[str]:
    """The user's variables, then those of the image that they don't set. One without a value,
    which takes the image's away, is shown, too."""
    mine = list(own)
    names = {entry.partition("=")[0] for entry in mine}
    return mine + [entry for entry in image if entry.partition("=")[0] not in names]


def _program(
    container: Container, image: dict[str, Any]
) -> tuple[list[str] | None, list[str] | None]:
    own = container.config
    if own.entrypoint is not None:
        return list(own.entrypoint) or None, _list(own.cmd)
    entrypoint = image.get("Entrypoint") or None
    return entrypoint, _list(own.cmd) or image.get("Cmd") or None


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return list(words) if words else None


def _health(health: HealthConfig) -> dict[str, Any]:
    durations = {
        "Interval": health.interval,
        "Timeout": health.timeout,
        "StartPeriod": health.start_period,
        "StartInterval": health.start_interval,
    }
    result: dict[str, Any] = {"Test": list(health.test)} if health.test else {}
    result |= {name: round(value * _NANOSECONDS) for name, value in durations.items() if value}
    return result | ({"Retries": health.retries} if health.retries else {})
