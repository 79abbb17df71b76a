"""Fields of a create request that would change behaviour and are not there yet. No I/O.

A field is refused (501, by name), or, where the container is still right without it, answered
with a warning as dockerd does. Nothing is dropped in silence.
"""

from __future__ import annotations

from corten.dockerapi.requests import CreateBody, HostConfig
from corten.errors import InvalidArgument, Unimplemented

_LATER = {
    "blkio_weight_device": "BlkioWeightDevice",
    "blkio_device_read_bps": "BlkioDeviceReadBps",
    "blkio_device_write_bps": "BlkioDeviceWriteBps",
    "blkio_device_read_iops": "BlkioDeviceReadIOps",
    "blkio_device_write_iops": "BlkioDeviceWriteIOps",
    "cpu_realtime_period": "CpuRealtimePeriod",
    "cpu_realtime_runtime": "CpuRealtimeRuntime",
    "device_requests": "DeviceRequests (--gpus)",
    "storage_opt": "StorageOpt",
    "cgroup": "Cgroup",
}
_LOG_DRIVERS = ("", "json-file", "none")
_OTHER_LOG_DRIVERS = (  # dockerd's own
    "awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "local", "logentries",
    "splunk", "syslog",
)  # fmt: skip
_LOG_OPTIONS = ("max-size", "max-file")


def check(body: CreateBody, host: HostConfig) -> None:
    """Refuse what is not offered.

    Raises:
        Unimplemented: names the field.
        InvalidArgument: what dockerd itself refuses.
    """
    for field, name in _LATER.items():
        if getattr(host, field):
            raise _later(f"HostConfig.{name}")
    if (host.isolation or "default") != "default":
        raise InvalidArgument(f"invalid isolation ({host.isolation}): linux has none")
    _check_log(host)


def warnings(body: CreateBody, host: HostConfig) -> list[str]:
    """What the user should know of a container that is made all the same."""
    result = []
    if host.oom_kill_disable and not host.memory:
        result.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return result


def _check_log(host: HostConfig) -> None:
    log = host.log_config
    if log is None:
        return
    if log.type in _OTHER_LOG_DRIVERS:
        raise _later(f"the log driver {log.type}")
    if (log.type or "") not in _LOG_DRIVERS:
        raise InvalidArgument(f"logger: no log driver named '{log.type}' is registered")
    for option, value in (log.config or {}).items():
        if option == "mode" and value == "blocking":
            continue
        if option not in _LOG_OPTIONS:
            raise _later(f"the log option {option}")


def _later(what: str) -> Unimplemented:
    return Unimplemented(f"{what} is not implemented by corten yet")
