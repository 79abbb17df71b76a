"""What a container may not ask for, refused when it is made: the same through every face, in
the words of dockerd, which scripts know. No I/O.

Pods' containers are not asked: the kubelet has its own rules, and others (a limit of more
processors than there are is none to it).
"""

from __future__ import annotations

from corten.engine.types import ContainerConfig, Resources, RestartPolicy, Ulimit
from corten.errors import InvalidArgument

LEAST_MEMORY = 6 << 20  # bytes; dockerd's floor
_NANO = 1_000_000_000
_ULIMITS = (
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
    *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)
_POLICIES = ("", "no", "always", "unless-stopped", "on-failure")


def check(config: ContainerConfig, *, cpus: int) -> None:
    """Everything below.

    Arguments:
        cpus: how many this machine has.
    Raises:
        InvalidArgument: with the reason, as dockerd says it.
    """
    check_resources(config.resources, cpus=cpus)
    check_restart(config.restart, auto_remove=config.auto_remove)
    for limit in config.ulimits:
        _check_ulimit(limit)
    _check_working_dir(config.working_dir)
    if not -1000 <= config.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if config.mac_address and not _is_mac(config.mac_address):
        raise InvalidArgument(f"{config.mac_address} is not a valid mac address")


def check_resources(limits: Resources, *, cpus: int) -> None:
    """Limits out of range, or two that contradict each other."""
    _check_memory(limits)
    _check_cpu(limits, cpus)
    weight = limits.blkio_weight or 0
    if weight and not 10 <= weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")


def check_restart(policy: RestartPolicy, *, auto_remove: bool) -> None:
    """A policy that there is not, or that contradicts something."""
    if policy.name not in _POLICIES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if auto_remove and policy.name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")


def _check_memory(limits: Resources) -> None:
    memory, swap = limits.memory or 0, limits.memory_swap or 0
    if 0 < memory < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory < 0:
        raise InvalidArgument(f"invalid memory limit: {memory}")
    if memory and 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not memory and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit")
    swappiness = limits.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )
    reservation = limits.memory_reservation or 0
    if 0 < reservation < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory and reservation > memory:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(limits: Resources, cpus: int) -> None:
    nano, period, quota = limits.nano_cpus or 0, limits.cpu_period or 0, limits.cpu_quota or 0
    if nano and (period or quota):
        other = "CPU Period" if period else "CPU Quota"
        raise InvalidArgument(f"Conflicting options: Nano CPUs and {other} cannot both be set")
    if nano < 0 or nano > cpus * _NANO:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if (limits.cpu_shares or 0) < 0:
        raise InvalidArgument(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"
        )
    _check_cpuset(limits.cpuset_cpus, cpus)


def _check_cpuset(text: str, cpus: int) -> None:
    if not text:
        return
    asked: list[int] = []
    for item in text.split(","):
        low, dash, high = item.partition("-")
        if not _is_number(low) or (dash and not _is_number(high)):
            raise InvalidArgument(f"Invalid value {text} for cpuset cpus")
        asked += (int(low), int(high or low))
    if max(asked) >= cpus:
        there = "0" if cpus == 1 else f"0-{cpus - 1}"
        raise InvalidArgument(
            f"Requested CPUs are not available - requested {text}, available: {there}"
        )


def _check_ulimit(limit: Ulimit) -> None:
    if limit.name not in _ULIMITS:
        raise InvalidArgument(f"invalid ulimit type: {limit.name}")
    if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
        raise InvalidArgument(
            "ulimit soft limit must be less than or equal to hard limit: "
            f"{limit.soft} > {limit.hard}"
        )


def _check_working_dir(path: str) -> None:
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )


def _is_mac(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 6 and all(
        len(part) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in part)
        for part in parts
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
