"""The ``process`` object of a container and of an exec (config.md, "Process")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from corten.engine.types import ContainerConfig, ExecConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def container_process(
    config: ContainerConfig, *, hostname: str, capabilities: Sequence[str]
) -> dict[str, Any]:
    """Of a container whose configuration is merged with its image's."""
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": _user(config.user, config),
        "args": list((config.entrypoint or ()) + (config.cmd or ())),
        "env": environment(config.env, hostname=hostname, tty=config.tty),
        "cwd": config.working_dir or "/",
        "capabilities": _sets(capabilities),
        "noNewPrivileges": config.security.no_new_privileges,
        # Always written: what init inherits is the launcher's, not zero.
        "oomScoreAdj": config.oom_score_adj,
    }
    if config.ulimits:
        process["rlimits"] = [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard}
            for limit in config.ulimits
        ]
    if config.security.apparmor and not config.security.privileged:
        process["apparmorProfile"] = config.security.apparmor
    if config.security.selinux_label:
        process["selinuxLabel"] = config.security.selinux_label
    if config.tty and config.console_size:
        process["consoleSize"] = {
            "height": config.console_size[0],
            "width": config.console_size[1],
        }
    return process


def exec_process(
    wanted: ExecConfig, config: ContainerConfig, *, hostname: str, capabilities: Sequence[str]
) -> dict[str, Any]:
    """Of an additional process: the container's, with what the exec says otherwise.

    Arguments:
        capabilities: the container's; for a privileged exec all that can be given.
    """
    process = container_process(config, hostname=hostname, capabilities=capabilities)
    process["terminal"] = wanted.tty
    process["args"] = list(wanted.args)
    process["env"] = environment((*config.env, *wanted.env), hostname=hostname, tty=wanted.tty)
    if wanted.user:
        process["user"] = _user(wanted.user, config)
    if wanted.working_dir:
        process["cwd"] = wanted.working_dir
    if wanted.privileged:
        process["noNewPrivileges"] = False
    process.pop("consoleSize", None)
    if wanted.tty and wanted.console_size:
        process["consoleSize"] = {"height": wanted.console_size[0], "width": wanted.console_size[1]}
    return process


def environment(entries: Iterable[str], *, hostname: str, tty: bool) -> list[str]:
    """``PATH``, ``HOSTNAME``, ``TERM``, overridden by the entries in their order; an entry
    without ``=`` takes a variable away, as under Docker."""
    found = {"PATH": DEFAULT_PATH, "HOSTNAME": f"HOSTNAME={hostname}"}
    if not hostname:
        del found["HOSTNAME"]
    if tty:
        found["TERM"] = "TERM=xterm"
    for entry in entries:
        name, equals, _value = entry.partition("=")
        if equals:
            found[name] = entry
        else:
            found.pop(name, None)
    return list(found.values())


def _user(user: str, config: ContainerConfig) -> dict[str, Any]:
    """Names are looked up inside the container, by the process that becomes its init."""
    found: dict[str, Any] = {"username": user}
    if config.group_add:
        found["additionalGroupNames"] = list(config.group_add)
    if config.supplemental_groups:
        found["supplementalGroupsPolicy"] = config.supplemental_groups
    return found


def _sets(capabilities: Sequence[str]) -> dict[str, list[str]]:
    """Not inheritable and not ambient (CVE-2022-24769)."""
    names = list(capabilities)
    return {"bounding": names, "effective": names, "permitted": names}
