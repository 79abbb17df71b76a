"""``POST /containers/create``: the body to the engine's configuration. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from corten.dockerapi import endpoints, limits, mounts, ports, refusals
from corten.dockerapi.requests import CreateBody, ExecBody, Health, HostConfig
from corten.dockerapi.security import namespaces, security
from corten.engine.types import (
    ContainerConfig,
    DeviceRequest,
    ExecConfig,
    HealthConfig,
    LogConfig,
    MountRequest,
    RestartPolicy,
)
from corten.errors import InvalidArgument

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_SHM_SIZE = 64 << 20
_SECOND = 10**9


def name(text: str) -> str:
    """The name asked for, checked; may be empty.

    Raises:
        InvalidArgument: in dockerd's words.
    """
    bare = text.removeprefix("/")
    if bare and not _NAME.fullmatch(bare):
        raise InvalidArgument(
            f"Invalid container name ({bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare


def container(body: CreateBody) -> tuple[ContainerConfig, list[str]]:
    """What to create, and warnings for the user.

    Raises:
        InvalidArgument: what can't work.
        Unimplemented: what would be dropped otherwise.
    """
    host = body.host_config or HostConfig()
    if not body.image:
        raise InvalidArgument("no image specified")
    refusals.check(body, host)
    config = ContainerConfig(
        image=body.image,
        hostname=body.hostname or "",
        domainname=body.domainname or "",
        user=body.user or "",
        env=_environment(body.env or []),
        entrypoint=_entrypoint(body.entrypoint),
        cmd=_words(body.cmd) or None,
        working_dir=body.working_dir or "",
        labels=body.labels or {},
        annotations=host.annotations or {},
        tty=bool(body.tty),
        open_stdin=bool(body.open_stdin),
        stdin_once=bool(body.stdin_once),
        stop_signal=body.stop_signal or "",
        stop_timeout=body.stop_timeout,
        exposed_ports=ports.exposed(body.exposed_ports or {}),
        ports=ports.bindings(host.port_bindings or {}),
        publish_all=bool(host.publish_all_ports),
        mounts=_mounts(host),
        volumes=tuple(body.volumes or ()),
        volumes_from=tuple(host.volumes_from or ()),
        devices=_devices(host),
        device_rules=tuple(host.device_cgroup_rules or ()),
        ulimits=limits.ulimits(host),
        sysctls=host.sysctls or {},
        resources=limits.resources(host),
        security=security(host),
        namespaces=namespaces(host, network_disabled=bool(body.network_disabled)),
        restart=_restart(host),
        health=_health(body.healthcheck),
        log=_log(host),
        auto_remove=bool(host.auto_remove),
        init=bool(host.init),
        runtime=host.runtime or "",
        shm_size=host.shm_size or _SHM_SIZE,
        oom_score_adj=host.oom_score_adj or 0,
        group_add=tuple(host.group_add or ()),
        cgroup_parent=host.cgroup_parent or "",
        dns=tuple(host.dns or ()),
        dns_search=tuple(host.dns_search or ()),
        dns_options=tuple(host.dns_options or ()),
        extra_hosts=tuple(host.extra_hosts or ()),
        links=_links(host),
        mac_address=endpoints.mac_address(body),
        networks=endpoints.requests(body),
        console_size=console_size(host.console_size),
    )
    return config, refusals.warnings(body, host)


def published(config: ContainerConfig, exposed: Iterable[str]) -> ContainerConfig:
    """Without the bindings of ports that neither the user nor the image exposes: dockerd shows
    them and publishes nothing.

    Arguments:
        exposed: the image's ports.
    """
    known = {*config.exposed_ports, *ports.exposed(exposed)}
    kept = [one for one in config.ports if f"{one.container_port}/{one.protocol}" in known]
    return msgspec.structs.replace(config, ports=tuple(kept))


def origin(body: CreateBody) -> dict[str, object]:
    """What ``inspect`` must repeat and the engine has no use for."""
    host = body.host_config or HostConfig()
    streams = [
        word
        for word, on in (
            ("stdin", body.attach_stdin),
            ("stdout", body.attach_stdout),
            ("stderr", body.attach_stderr),
        )
        if on
    ]
    kept: dict[str, object] = {"attach": streams}
    if host.binds:
        kept["binds"] = host.binds
    if host.tmpfs:
        kept["tmpfs"] = host.tmpfs
    for key, value in (("volume_driver", host.volume_driver), ("isolation", host.isolation)):
        if value:
            kept[key] = value
    if host.port_bindings:
        kept["ports"] = msgspec.to_builtins(ports.bindings(host.port_bindings))
    if host.mounts:
        kept["mounts"] = msgspec.to_builtins(host.mounts)
    return kept


def exec_config(body: ExecBody) -> ExecConfig:
    """``POST /containers/{id}/exec``.

    Raises:
        InvalidArgument: nothing to run.
    """
    args = _words(body.cmd)
    if not args:
        raise InvalidArgument("No exec command specified")
    return ExecConfig(
        args=args,
        env=_environment(body.env or []),
        user=body.user or "",
        working_dir=_working_dir(body.working_dir or ""),
        tty=bool(body.tty),
        attach_stdin=bool(body.attach_stdin),
        attach_stdout=bool(body.attach_stdout),
        attach_stderr=bool(body.attach_stderr),
        detach_keys=body.detach_keys or "",
        privileged=bool(body.privileged),
        console_size=console_size(body.console_size),
    )


def console_size(given: list[int] | None) -> tuple[int, int] | None:
    """Rows and columns, where both are given.

    Raises:
        InvalidArgument: another number of numbers, or none a terminal can have.
    """
    if not given or given == [0, 0]:
        return None
    if len(given) != 2 or not all(0 <= size < 1 << 16 for size in given):
        raise InvalidArgument(f"invalid ConsoleSize {given}: two numbers, rows and columns")
    return given[0], given[1]


def _words(given: list[str] | str | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _entrypoint(given: list[str] | str | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    words = _words(given)
    return () if words == ("",) else words  # docker's way to say "none": one empty word


def _environment(given: list[str]) -> tuple[str, ...]:
    for entry in given:
        if not entry or entry.startswith("="):
            raise InvalidArgument(f"invalid environment variable: {entry}")
    # A name alone means "remove what the image sets", which the engine does.
    return tuple(given)


def _working_dir(path: str) -> str:
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return path


def _mounts(host: HostConfig) -> tuple[MountRequest, ...]:
    result = [mounts.bind(text, host.volume_driver or "") for text in host.binds or ()]
    result += [mounts.mount(given) for given in host.mounts or ()]
    result += mounts.tmpfs(host.tmpfs or {})
    seen: set[str] = set()
    for request in result:
        if request.target in seen:
            raise InvalidArgument(f"Duplicate mount point: {request.target}")
        seen.add(request.target)
    return tuple(result)


def _links(host: HostConfig) -> tuple[str, ...]:
    """Those of the default bridge; on a network of the user's the endpoint has its own."""
    mode = host.network_mode or "default"
    return endpoints.links(host.links) if mode in ("default", "bridge") else ()


def _devices(host: HostConfig) -> tuple[DeviceRequest, ...]:
    return tuple(
        DeviceRequest(
            host_path=device.path_on_host,
            container_path=device.path_in_container or device.path_on_host,
            access=device.cgroup_permissions or "rwm",
        )
        for device in host.devices or ()
    )


def _restart(host: HostConfig) -> RestartPolicy:
    policy = host.restart_policy
    if policy is None:
        return RestartPolicy()
    return RestartPolicy(
        name=policy.name or "no", maximum_retry_count=policy.maximum_retry_count or 0
    )


def _health(given: Health | None) -> HealthConfig | None:
    if given is None:
        return None
    return HealthConfig(
        test=tuple(given.test or ()),
        interval=(given.interval or 0) / _SECOND,
        timeout=(given.timeout or 0) / _SECOND,
        start_period=(given.start_period or 0) / _SECOND,
        start_interval=(given.start_interval or 0) / _SECOND,
        retries=given.retries or 0,
    )


def _log(host: HostConfig) -> LogConfig:
    given = host.log_config
    if given is None:
        return LogConfig()
    return LogConfig(driver=given.type or "json-file", options=given.config or {})
