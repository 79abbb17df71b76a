"""The flags of ``run`` and ``create``, and the ``ContainerConfig`` they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from corten.cli import parse
from corten.cli.clickext import Value
from corten.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])

SIZE = Value("bytes", parse.size)
SWAP = Value("bytes", parse.swap)
CPUS = Value("decimal", parse.cpus)
DURATION = Value("duration", parse.duration)
MOMENT = Value("time", parse.moment)
KEYS = Value("keys", parse.detach_keys)


def detach_option(function: F) -> F:
    return click.option(
        "--detach-keys", type=KEYS, default="ctrl-p,ctrl-q",
        help="Key sequence for detaching (default ctrl-p,ctrl-q).",
    )(function)  # fmt: skip


def _many(*names: str, help: str, metavar: str = "list") -> Callable[[F], F]:
    return click.option(*names, multiple=True, help=help, metavar=metavar)


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, help=help)


_OPTIONS: tuple[Callable[..., Any], ...] = (
    _many("-e", "--env", help="Set environment variables."),
    _many("--env-file", help="Read in a file of environment variables."),
    _many("-l", "--label", help="Set metadata on the container."),
    _many("--label-file", help="Read in a file of labels."),
    click.option("-w", "--workdir", default="", help="Working directory inside."),
    click.option("-u", "--user", default="", help="User name or id: NAME|UID[:GROUP|GID]."),
    click.option("-h", "--hostname", default="", help="Host name inside."),
    click.option("--domainname", default="", help="NIS domain name inside."),
    click.option("--name", default="", help="Name of the container."),
    click.option("--entrypoint", default=None, help="Replace the image's entry point."),
    _flag("-i", "--interactive", help="Keep standard input open."),
    _flag("-t", "--tty", help="Allocate a terminal."),
    _flag("--rm", help="Remove the container when it exits."),
    _flag("--init", help="Run an init inside that forwards signals and reaps processes."),
    _many("-p", "--publish", help="Publish ports: [[IP:]HOST:]CONTAINER[/PROTOCOL]."),
    _flag("-P", "--publish-all", help="Publish all exposed ports to random ports."),
    _many("--expose", help="Expose a port or a range."),
    _many("-v", "--volume", help="A directory or a volume: [SOURCE:]TARGET[:OPTIONS]."),
    _many("--volumes-from", help="The mounts of another container: CONTAINER[:ro]."),
    click.option("--volume-driver", default="", help="Of volumes that are made: local."),
    _many("--mount", help="Attach a mount: type=volume|bind|tmpfs,src=…,dst=…[,readonly]."),
    _many("--tmpfs", help="Mount a tmpfs: TARGET[:OPTIONS]."),
    _many(
        "--network", "--net", metavar="network",
        help="A network's name, none, host, container:ID, or name=…,alias=…,ip=….",
    ),
    _many("--network-alias", "--net-alias", help="Another name of the container on its network."),
    click.option("--ip", default="", help="IPv4 address on its network."),
    click.option("--ip6", default="", help="IPv6 address on its network."),
    click.option("--pid", default="private", help="PID namespace: host, container:ID."),
    click.option("--ipc", default="private", help="IPC namespace: host, container:ID."),
    click.option("--uts", default="private", help="UTS namespace: host."),
    click.option("--cgroupns", default="private", help="Cgroup namespace: host, private."),
    click.option("--userns", default="host", help="User namespace: host."),
    click.option("-m", "--memory", type=SIZE, help="Memory limit."),
    click.option("--memory-swap", type=SWAP, help="Memory and swap; -1: unlimited swap."),
    click.option("--memory-reservation", type=SIZE, help="Soft limit of memory."),
    click.option("--memory-swappiness", type=int, help="0 to 100."),
    _flag("--oom-kill-disable", help="Disable the OOM killer."),
    click.option("--oom-score-adj", type=int, default=0, help="OOM preference, -1000 to 1000."),
    click.option("--cpus", type=CPUS, help="Number of processors, as 1.5."),
    click.option("-c", "--cpu-shares", type=int, help="Relative weight."),
    click.option("--cpu-period", type=int, help="CFS period in microseconds."),
    click.option("--cpu-quota", type=int, help="CFS quota in microseconds."),
    click.option("--cpuset-cpus", default="", help="Processors to use: 0-3, 0,1."),
    click.option("--cpuset-mems", default="", help="Memory nodes to use."),
    click.option("--pids-limit", type=int, help="Most processes; -1: unlimited."),
    click.option("--blkio-weight", type=int, help="Block I/O weight, 10 to 1000."),
    click.option("--shm-size", type=SIZE, default=64 << 20, help="Size of /dev/shm."),
    _many("--ulimit", help="Resource limits: nofile=1024:2048."),
    _many("--sysctl", help="Kernel parameters: net.ipv4.ip_forward=1."),
    _many("--device", help="Add a host device: HOST[:CONTAINER[:rwm]]."),
    _many("--cap-add", help="Add capabilities."),
    _many("--cap-drop", help="Drop capabilities."),
    _flag("--privileged", help="Give the container all privileges."),
    _flag("--read-only", help="Mount the root file system read-only."),
    _many("--security-opt", help="no-new-privileges, seccomp=…, apparmor=…, label=…."),
    _many("--group-add", help="Additional groups."),
    _many("--dns", help="DNS servers."),
    _many("--dns-search", help="DNS search domains."),
    _many("--dns-option", "--dns-opt", help="DNS options."),
    _many("--add-host", help="Add a line to /etc/hosts: NAME:ADDRESS."),
    click.option("--mac-address", default="", help="MAC address."),
    click.option("--restart", default="no", help="no, always, unless-stopped, on-failure[:N]."),
    click.option("--stop-signal", default="", help="Signal to stop the container."),
    click.option("--stop-timeout", type=int, help="Seconds before it is killed."),
    click.option("--log-driver", default="json-file", help="json-file or none."),
    _many("--log-opt", help="Options of the log driver: max-size=10m."),
    click.option("--runtime", default="", help="Runtime: native, runc, runsc, crun."),
    click.option("--cgroup-parent", default="", help="Parent cgroup."),
    click.option("--health-cmd", default="", help="Command that checks the health."),
    click.option("--health-interval", type=DURATION, default=0.0, help="Between checks."),
    click.option("--health-timeout", type=DURATION, default=0.0, help="Of one check."),
    click.option("--health-start-period", type=DURATION, default=0.0, help="Before they count."),
    click.option("--health-start-interval", type=DURATION, default=0.0, help="Until they count."),
    click.option("--health-retries", type=int, default=0, help="Failures until unhealthy."),
    _flag("--no-healthcheck", help="Disable the image's health check."),
    click.option("--platform", default="", help="Platform of the image: linux/arm64."),
    click.option("--cidfile", default="", help="Write the container's id to a file."),
    click.option(
        "--pull", type=click.Choice(["missing", "always", "never"]), default="missing",
        help="When to pull the image.",
    ),
    _flag("-q", "--quiet", help="No output of the pull."),
)  # fmt: skip


def container_options(function: F) -> F:
    """All of them, in the order in which the help shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def container_config(image: str, command: tuple[str, ...], o: dict[str, Any]) -> dict[str, Any]:
    """``ContainerConfig`` as the native protocol takes it.

    Arguments:
        o: the values of :func:`container_options`, by parameter name.
    """
    config: dict[str, Any] = {
        "image": image,
        "hostname": o["hostname"],
        "domainname": o["domainname"],
        "user": o["user"],
        "env": parse.env(o["env"], o["env_file"]),
        "working_dir": o["workdir"],
        "labels": _labels(o),
        "tty": o["tty"],
        "open_stdin": o["interactive"],
        "stop_signal": o["stop_signal"],
        "stop_timeout": o["stop_timeout"],
        "exposed_ports": parse.exposed(o["expose"]),
        "ports": parse.ports(o["publish"]),
        "publish_all": o["publish_all"],
        "mounts": _mounts(o),
        "volumes": [entry for entry in o["volume"] if ":" not in entry],
        "volumes_from": list(o["volumes_from"]),
        "devices": [parse.device(entry) for entry in o["device"]],
        "ulimits": [parse.ulimit(entry) for entry in o["ulimit"]],
        "sysctls": parse.pairs(o["sysctl"], "sysctl"),
        "resources": _resources(o),
        "security": _security(o),
        "namespaces": _namespaces(o),
        "restart": parse.restart(o["restart"]),
        "log": {"driver": o["log_driver"], "options": parse.pairs(o["log_opt"], "log option")},
        "auto_remove": o["rm"],
        "init": o["init"],
        "runtime": "" if o["runtime"] == "native" else o["runtime"],
        "shm_size": o["shm_size"],
        "oom_score_adj": o["oom_score_adj"],
        "group_add": list(o["group_add"]),
        "cgroup_parent": o["cgroup_parent"],
        "dns": list(o["dns"]),
        "dns_search": list(o["dns_search"]),
        "dns_options": list(o["dns_option"]),
        "extra_hosts": list(o["add_host"]),
        "mac_address": o["mac_address"],
        "networks": parse.networks(o),
    }
    if command:
        config["cmd"] = list(command)
    if o["entrypoint"] is not None:
        config["entrypoint"] = [o["entrypoint"]] if o["entrypoint"] else []
    health = _health(o)
    if health:
        config["health"] = health
    if o["rm"] and config["restart"]["name"] != "no":
        raise InvalidArgument("conflicting options: --restart and --rm")
    return config


def _labels(o: dict[str, Any]) -> dict[str, str]:
    lines: list[str] = []
    for path in o["label_file"]:
        try:
            lines += [line for line in Path(path).read_text().splitlines() if line.strip()]
        except OSError as error:
            raise InvalidArgument(f"open {path}: {error.strerror}", step="--label-file") from None
    return parse.pairs((*lines, *o["label"]), "label")


def _mounts(o: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        *[parse.volume(entry, o["volume_driver"]) for entry in o["volume"] if ":" in entry],
        *[parse.mount(entry) for entry in o["mount"]],
        *[parse.tmpfs(entry) for entry in o["tmpfs"]],
    ]


_RESOURCES = (
    "memory", "memory_swap", "memory_reservation", "memory_swappiness", "cpu_shares",
    "cpu_period", "cpu_quota", "pids_limit", "blkio_weight",
)  # fmt: skip


def _resources(o: dict[str, Any]) -> dict[str, Any]:
    found = limits(o)
    if o["memory"] and o["memory_swap"] is None:
        found["memory_swap"] = 2 * o["memory"]  # as much swap as memory, docker's default
    if o["oom_kill_disable"]:
        found["oom_kill_disable"] = True
    return found


def limits(o: dict[str, Any]) -> dict[str, Any]:
    """The members of ``Resources`` that are given."""
    found = {name: o[name] for name in _RESOURCES if o.get(name) is not None}
    if o["cpus"] is not None:
        found["nano_cpus"] = o["cpus"]
    for name in ("cpuset_cpus", "cpuset_mems"):
        if o[name]:
            found[name] = o[name]
    return found


def _security(o: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "privileged": o["privileged"],
        "cap_add": list(o["cap_add"]),
        "cap_drop": list(o["cap_drop"]),
        "readonly_rootfs": o["read_only"],
    }
    for entry in o["security_opt"]:
        separator = "=" if "=" in entry else ":"
        key, _, value = entry.partition(separator)
        if key == "no-new-privileges":
            found["no_new_privileges"] = value in ("", "true", "1")
        elif key == "seccomp":
            found["seccomp"] = _seccomp(value)
        elif key == "apparmor":
            found["apparmor"] = value
        elif key == "label":
            found["selinux_label"] = value
        elif entry == "systempaths=unconfined":
            found["masked_paths"], found["readonly_paths"] = [], []
        else:
            raise InvalidArgument(f"invalid --security-opt: {entry!r}")
    return found


def _seccomp(value: str) -> str:
    if value in ("unconfined", "builtin", "default"):
        return "default" if value == "builtin" else value
    try:
        return Path(value).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"opening seccomp profile ({value}) failed: {reason}") from None


def _namespaces(o: dict[str, Any]) -> dict[str, str]:
    return {
        "network": parse.network_mode(o["network"]),
        "pid": o["pid"],
        "ipc": "private" if o["ipc"] in ("shareable", "") else o["ipc"],
        "uts": o["uts"],
        "cgroup": o["cgroupns"],
        "user": o["userns"] or "host",
    }


def _health(o: dict[str, Any]) -> dict[str, Any] | None:
    if o["no_healthcheck"]:
        return {"test": ["NONE"]}
    found: dict[str, Any] = {
        name: o[f"health_{name}"]
        for name in ("interval", "timeout", "start_period", "start_interval", "retries")
        if o[f"health_{name}"]
    }
    if o["health_cmd"]:
        found["test"] = ["CMD-SHELL", o["health_cmd"]]
    return found or None


def console_size() -> list[int] | None:
    """Rows and columns of the caller's terminal."""
    for fd in (1, 0):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        if size.lines and size.columns:
            return [size.lines, size.columns]
    return None
