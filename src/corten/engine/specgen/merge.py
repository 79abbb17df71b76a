"""What a container inherits from its image."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.engine.types import ContainerConfig, HealthConfig
from corten.errors import InvalidArgument

_NANO = 1e9


def merge_image(config: ContainerConfig, image: dict[str, Any], *, labels: bool) -> ContainerConfig:
    """The configuration with everything filled in that the image gives.

    Arguments:
        image: the image's configuration document (OCI image specification, config.md).
        labels: inherit labels too (Docker does, the kubelet must not see them).

    Raises:
        InvalidArgument: there is no command, neither given nor in the image.
    """
    inner = image.get("config") or {}
    entrypoint, cmd = _command(config, inner)
    own = {entry.partition("=")[0] for entry in config.env}
    inherited = tuple(e for e in inner.get("Env") or () if e.partition("=")[0] not in own)
    ports = dict.fromkeys((*config.exposed_ports, *(inner.get("ExposedPorts") or ())))
    return msgspec.structs.replace(
        config,
        entrypoint=entrypoint,
        cmd=cmd,
        env=config.env + inherited,
        user=config.user or inner.get("User") or "",
        working_dir=config.working_dir or inner.get("WorkingDir") or "",
        stop_signal=config.stop_signal or inner.get("StopSignal") or "",
        exposed_ports=tuple(ports),
        volumes=tuple(dict.fromkeys((*config.volumes, *(inner.get("Volumes") or ())))),
        labels={**(inner.get("Labels") or {}), **config.labels} if labels else config.labels,
        health=_merged_health(config.health, _health(inner.get("Healthcheck"))),
    )


def _command(
    config: ContainerConfig, inner: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    entrypoint, cmd = config.entrypoint, config.cmd
    if entrypoint is None:
        entrypoint = tuple(inner.get("Entrypoint") or ())
        if not cmd:
            cmd = tuple(inner.get("Cmd") or ())
    if entrypoint == ("",):  # Docker's way to say "none"
        entrypoint = ()
    cmd = cmd or ()
    if not entrypoint + cmd:
        raise InvalidArgument(
            "no command specified", hint="name a program behind the image, or give an entrypoint"
        )
    return entrypoint, cmd


def _merged_health(own: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    """What the user leaves open is the image's."""
    if own is None or image is None:
        return own or image
    given = {
        name: value for name in HealthConfig.__struct_fields__ if (value := getattr(own, name))
    }
    return msgspec.structs.replace(image, **given)


def _health(document: dict[str, Any] | None) -> HealthConfig | None:
    if not document or not document.get("Test"):
        return None
    return HealthConfig(
        test=tuple(document["Test"]),
        interval=document.get("Interval", 0) / _NANO,
        timeout=document.get("Timeout", 0) / _NANO,
        start_period=document.get("StartPeriod", 0) / _NANO,
        start_interval=document.get("StartInterval", 0) / _NANO,
        retries=document.get("Retries", 0),
    )
