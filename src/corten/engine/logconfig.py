"""Log settings: Docker's options checked and turned into what the monitor is told."""

from __future__ import annotations

from corten.engine.settings import EngineSettings
from corten.engine.types import Container, LogConfig
from corten.errors import InvalidArgument
from corten.launch.messages import Log

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_OPTIONS = ("max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag")


def check(config: LogConfig) -> None:
    """Raises InvalidArgument for a driver or option that is not known."""
    if config.driver not in ("json-file", "cri", "none"):
        raise InvalidArgument(
            f"logger: no log driver named '{config.driver}' is registered",
            hint="json-file and none are offered",
        )
    if config.driver == "cri" and not config.path.startswith("/"):
        raise InvalidArgument("the log path must be absolute", path=config.path)
    unknown = [name for name in config.options if name not in _OPTIONS]
    if unknown and config.driver == "json-file":
        raise InvalidArgument(f"unknown log opt '{unknown[0]}' for json-file log driver")
    _limits(config, 0, 1)


def log_path(settings: EngineSettings, container_id: str, config: LogConfig) -> str:
    """Where the log lies; empty: nowhere."""
    if config.driver == "cri":
        return config.path
    if config.driver == "none":
        return ""
    return f"{settings.container_dir(container_id)}/{container_id}-json.log"


def monitor_log(settings: EngineSettings, record: Container) -> Log:
    """What the monitor is told."""
    config = record.config.log
    if config.driver != "json-file":
        return Log(driver=config.driver, path=record.log_path)
    size, files = _limits(config, settings.log_max_size, settings.log_max_files)
    return Log(
        driver="json-file",
        path=record.log_path,
        max_size=size,
        max_files=files,
        attrs=_attributes(record),
    )


def _limits(config: LogConfig, size: int, files: int) -> tuple[int, int]:
    if "max-size" in config.options:
        size = parse_size(config.options["max-size"])
    if "max-file" in config.options:
        text = config.options["max-file"]
        if not text.isdecimal() or int(text) < 1:
            raise InvalidArgument(f"invalid value of max-file: '{text}'")
        files = int(text)
    return size, files


def parse_size(text: str) -> int:
    """``10m`` in bytes; ``-1`` (Docker's "unlimited") is 0.

    Raises:
        InvalidArgument: no size.
    """
    if text == "-1":
        return 0
    lower = text.strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = lower.rstrip("kmgt"), lower[len(lower.rstrip("kmgt")) :]
    try:
        value = float(number)
    except ValueError:
        raise InvalidArgument(f"invalid size: '{text}'") from None
    if unit not in _UNITS or value < 0:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(value * _UNITS[unit])


def _attributes(record: Container) -> dict[str, str] | None:
    """``labels`` and ``env`` of the options name what every line carries."""
    options = record.config.log.options
    found = {}
    for name in _names(options.get("labels", "")):
        if name in record.config.labels:
            found[name] = record.config.labels[name]
    wanted = _names(options.get("env", ""))
    for entry in record.config.env:
        name, _, value = entry.partition("=")
        if name in wanted:
            found[name] = value
    return found or None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
