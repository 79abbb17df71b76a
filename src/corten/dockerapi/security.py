"""``SecurityOpt``, capabilities and namespaces of ``HostConfig``. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from corten.dockerapi.requests import HostConfig
from corten.engine.types import Namespaces, Security
from corten.errors import InvalidArgument, Unimplemented


def security(host: HostConfig) -> Security:
    """Everything of ``HostConfig`` that says what the container may do.

    Raises:
        InvalidArgument: a malformed option.
        Unimplemented: an option that is not offered.
    """
    options = _Options(host.security_opt or ())
    masked, readonly = host.masked_paths, host.readonly_paths
    return Security(
        privileged=bool(host.privileged),
        cap_add=_capabilities(host.cap_add or ()),
        cap_drop=_capabilities(host.cap_drop or ()),
        no_new_privileges=options.no_new_privileges,
        seccomp=options.seccomp,
        apparmor=options.apparmor,
        selinux_label=options.label,
        masked_paths=None if masked is None else tuple(masked),
        readonly_paths=None if readonly is None else tuple(readonly),
        readonly_rootfs=bool(host.readonly_rootfs),
    )


def namespaces(host: HostConfig, *, network_disabled: bool = False) -> Namespaces:
    """Which namespaces are the container's own.

    Raises:
        InvalidArgument: a mode that there is not.
    """
    network = "none" if network_disabled else host.network_mode or "default"
    return Namespaces(
        network=network,
        pid=_mode("PID", host.pid_mode, ("", "host"), joins=True),
        ipc=_ipc(host.ipc_mode or ""),
        uts=_mode("UTS", host.uts_mode, ("", "host")),
        cgroup=_mode("cgroup namespace", host.cgroupns_mode, ("", "private", "host")),
        user=_user(host.userns_mode or ""),
    )


def _mode(what: str, given: str | None, known: tuple[str, ...], *, joins: bool = False) -> str:
    mode = given or ""
    if mode in known:
        return mode or "private"
    if joins and mode.startswith("container:") and mode != "container:":
        return mode
    raise InvalidArgument(f"invalid {what} mode: {mode}")


def _user(mode: str) -> str:
    _mode("userns", mode, ("", "host"))
    return "host"


def _ipc(mode: str) -> str:
    if mode == "none":
        raise Unimplemented("IpcMode none is not implemented by corten yet")
    if mode == "shareable":  # nothing but a permission that others may join
        return "private"
    return _mode("IPC", mode, ("", "private", "host"), joins=True)


def _capabilities(given: Iterable[str]) -> tuple[str, ...]:
    names = [name.strip().upper() for name in given]
    return tuple(
        name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in names
    )


class _Options:
    """``SecurityOpt``, parsed: ``key=value``, the old ``key:value``, or a lone word."""

    def __init__(self, given: Iterable[str]) -> None:
        self.no_new_privileges = False
        self.seccomp = "default"
        self.apparmor = ""
        self.label = ""
        for text in given:
            self._option(text)

    def _option(self, text: str) -> None:
        if text == "no-new-privileges":
            self.no_new_privileges = True
            return
        key, separator, value = text.partition("=" if "=" in text else ":")
        if not separator:
            raise InvalidArgument(f'invalid --security-opt 1: "{text}"')
        if key == "no-new-privileges":
            if value not in ("true", "false"):
                raise InvalidArgument(f'invalid --security-opt 2: "{text}"')
            self.no_new_privileges = value == "true"
        elif key == "seccomp":
            self.seccomp = _seccomp(value)
        elif key == "apparmor":
            self.apparmor = value
        elif key == "label":
            self.label = value
        elif key in ("credentialspec", "writable-cgroups"):
            raise Unimplemented(f"SecurityOpt {key} is not implemented by corten yet")
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{text}"')


def _seccomp(value: str) -> str:
    if value in ("unconfined", "default"):
        return value
    if value == "builtin":
        return "default"
    try:
        msgspec.json.decode(value, type=dict)
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"Decoding seccomp profile failed: {error}") from None
    return value
