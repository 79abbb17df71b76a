"""Values of docker's flags, from text to the members of ``ContainerConfig``.

Each function raises InvalidArgument with what is wrong and, where it helps, what is right.
"""

from __future__ import annotations

import csv
import os
import re
import time
from pathlib import Path
from typing import Any

from corten.errors import InvalidArgument

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s?([kmgtp]?)(i?b?)$", re.IGNORECASE)
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PROTOCOLS = ("tcp", "udp", "sctp")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def size(text: str) -> int:
    """``64m``, ``1.5g``, ``1024``: bytes; suffixes are powers of 1024."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise InvalidArgument(f"invalid size: {text!r}", hint="a number with b, k, m or g: 64m")
    return int(float(match[1]) * _SIZES[match[2].lower()])


def swap(text: str) -> int:
    """As :func:`size`, and ``-1`` for unlimited."""
    return -1 if text.strip() == "-1" else size(text)


def cpus(text: str) -> int:
    """``1.5``: billionths of a processor."""
    try:
        value = float(text)
    except ValueError:
        raise InvalidArgument(f"invalid number of cpus: {text!r}", hint="as 1.5") from None
    if value < 0:
        raise InvalidArgument(f"invalid number of cpus: {text!r}", hint="it can't be negative")
    return round(value * 1e9)


def duration(text: str) -> float:
    """``1m30s``, ``500ms``, ``0``: seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(f"invalid duration: {text!r}", hint="as 10s, 1m30s or 500ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def moment(text: str, now: float | None = None) -> int:
    """A time for ``--since`` and ``--until``: nanoseconds since the epoch.

    Understood: seconds since the epoch, a duration before now, RFC 3339 (the zone and the time
    of day may be missing).
    """
    if not text:
        return 0
    if re.fullmatch(r"\d+(\.\d+)?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
    if "-" not in text.lstrip("-"):
        return int(((time.time() if now is None else now) - duration(text)) * 1e9)
    return _rfc3339(text)


def _rfc3339(text: str) -> int:
    import datetime

    base, fraction = text, ""
    match = re.search(r"\.(\d+)", text)
    if match:
        base, fraction = text[: match.start()] + text[match.end() :], match[1]
    try:
        value = datetime.datetime.fromisoformat(base.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidArgument(
            f"invalid time: {text!r}", hint="as 2026-11-24T12:00:00Z, 10m or 1764000000"
        ) from None
    return int(value.timestamp()) * 10**9 + int((fraction + "0" * 9)[:9])


def env(entries: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    """``-e NAME=VALUE``, ``-e NAME`` (the caller's value; without one the image's is taken
    away, which the name alone stands for), and files of such lines, where a name without a
    value is left out. Later entries win where the names are equal."""
    found = []
    for path in files:
        found += [line for line in map(_own_value, _env_file(path)) if "=" in line]
    return found + [_own_value(line) for line in entries]


def _own_value(line: str) -> str:
    name, equals, _ = line.partition("=")
    if not name:
        raise InvalidArgument(f"invalid environment variable: {line!r}")
    if equals or name not in os.environ:
        return line
    return f"{name}={os.environ[name]}"


def _env_file(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"open {path}: {reason}", step="--env-file") from None
    lines = (line.lstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pairs(entries: tuple[str, ...], what: str) -> dict[str, str]:
    """``KEY=VALUE``; without ``=`` the value is empty."""
    found = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        if not key:
            raise InvalidArgument(f"invalid {what}: {entry!r}", hint=f"{what} KEY=VALUE")
        found[key] = value
    return found


def ports(entries: tuple[str, ...]) -> list[dict[str, Any]]:
    """``-p [[IP:]HOST:]CONTAINER[/PROTOCOL]``, with ranges of equal length."""
    return [binding for entry in entries for binding in _publish(entry)]


def network_mode(entries: tuple[str, ...]) -> str:
    """The first ``--network``: the one that the container's network namespace is about."""
    return str(_network(entries[0])["network"]) if entries else "default"


def networks(o: dict[str, Any]) -> list[dict[str, Any]] | None:
    """``--network`` (several times), ``--ip``, ``--ip6``, ``--network-alias``: requests for
    networks, or None where nothing is said besides the mode."""
    found = [_network(entry) for entry in o["network"]] or [{"network": "default"}]
    first = found[0]
    for name, value in (("ipv4", o["ip"]), ("ipv6", o["ip6"])):
        if value:
            first[name] = value
    if o["network_alias"]:
        first["aliases"] = [*first.get("aliases", ()), *o["network_alias"]]
    return None if len(found) == 1 and list(first) == ["network"] else found


_NETWORK_KEYS = {"name": "network", "ip": "ipv4", "ip6": "ipv6", "mac-address": "mac_address"}


def _network(entry: str) -> dict[str, Any]:
    if "=" not in entry:
        return {"network": entry or "default"}
    found: dict[str, Any] = {}
    for part in entry.split(","):
        key, _, value = part.partition("=")
        if key == "alias":
            found.setdefault("aliases", []).append(value)
        elif key == "gw-priority":
            found["priority"] = int(value) if value.lstrip("-").isdigit() else 0
        elif key in _NETWORK_KEYS:
            found[_NETWORK_KEYS[key]] = value
        else:
            raise InvalidArgument(
                f"invalid field {key!r} of --network",
                hint="there are name, alias, ip, ip6, mac-address, gw-priority",
            )
    if not found.get("network"):
        raise InvalidArgument(f"--network {entry}: no network is named", hint="name=NETWORK,…")
    return found


def _publish(entry: str) -> list[dict[str, Any]]:
    body, _, protocol = entry.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}", hint=f"one of {_PROTOCOLS}")
    ip, rest = "", body
    if body.startswith("["):
        ip, _, rest = body[1:].partition("]")
        rest = rest.removeprefix(":")
    elif body.count(":") == 2:
        ip, rest = body.split(":", 1)
    host, colon, container = rest.rpartition(":")
    first, last = port_range(container, entry)
    if colon and host:
        host_first, host_last = port_range(host, entry)
    else:
        host_first = host_last = 0
    several = last > first
    if several and host_first and host_last - host_first != last - first:
        raise InvalidArgument(f"invalid ranges specified for container and host ports: {entry}")
    return [
        {
            "container_port": first + index,
            "protocol": protocol,
            "host_ip": ip,
            "host_port": host_first + index if host_first else 0,
            "host_port_end": 0 if several or host_last == host_first else host_last,
        }
        for index in range(last - first + 1)
    ]


def port_range(text: str, entry: str) -> tuple[int, int]:
    """``80`` or ``8000-8010``."""
    low, dash, high = text.partition("-")
    try:
        first, last = int(low), int(high if dash else low)
    except ValueError:
        raise InvalidArgument(
            f"invalid port: {entry!r}", hint="as 8080:80, 127.0.0.1:8080:80 or 80/udp"
        ) from None
    if not (0 < first <= 65535 and first <= last <= 65535):
        raise InvalidArgument(f"invalid port: {entry!r}", hint="ports are 1 to 65535")
    return first, last


def exposed(entries: tuple[str, ...]) -> list[str]:
    """``--expose 80``, ``--expose 8000-8010/udp``: ``80/tcp``."""
    found = []
    for entry in entries:
        body, _, protocol = entry.partition("/")
        first, last = port_range(body, entry)
        found += [f"{port}/{protocol or 'tcp'}" for port in range(first, last + 1)]
    return found


def volume(entry: str, driver: str = "") -> dict[str, Any]:
    """``-v SOURCE:TARGET[:OPTIONS]``: a bind where the source is a path, else a volume's name."""
    parts = entry.split(":")
    if len(parts) not in (2, 3) or not parts[0] or not parts[-1]:
        raise InvalidArgument(f"invalid volume specification: {entry!r}", hint="-v SOURCE:TARGET")
    source, target = parts[0], _absolute(parts[1], entry)
    mode = parts[2] if len(parts) == 3 else ""
    mount: dict[str, Any] = {"type": "volume", "source": source, "target": target}
    if source.startswith((".", "/", "~")):
        path = os.path.abspath(os.path.expanduser(source))
        mount.update(type="bind", source=path, create_source=True, mode=mode)
    else:
        mount.update(mode=mode or "z", driver=driver)
    for option in mode.split(",") if mode else ():
        _volume_option(mount, option, entry)
    return mount


def _volume_option(mount: dict[str, Any], option: str, entry: str) -> None:
    if option in _PROPAGATIONS:
        mount["propagation"] = option
    elif option == "ro":
        mount["read_only"] = True
    elif option in ("z", "Z"):
        mount["selinux_relabel"] = True
    elif option == "nocopy":
        mount["no_copy"] = True
    elif option not in ("rw", "cached", "delegated", "consistent"):
        raise InvalidArgument(f"invalid mode {option!r} in volume specification {entry!r}")


def _absolute(target: str, entry: str) -> str:
    if not target.startswith("/"):
        raise InvalidArgument(
            f"invalid volume specification: {entry!r}: the mount path must be absolute"
        )
    return target


def tmpfs(entry: str) -> dict[str, Any]:
    """``--tmpfs TARGET[:OPTIONS]``."""
    target, _, options = entry.partition(":")
    mount: dict[str, Any] = {"type": "tmpfs", "target": _absolute(target, entry)}
    if options:
        mount["options"] = options.split(",")
    return mount


_MOUNT_KEYS = {
    "src": "source", "source": "source", "dst": "target", "destination": "target",
    "target": "target", "type": "type", "bind-propagation": "propagation",
    "volume-driver": "driver", "volume-subpath": "subpath",
}  # fmt: skip


def mount(entry: str) -> dict[str, Any]:
    """``--mount type=bind,src=/a,dst=/b,readonly``."""
    found: dict[str, Any] = {"type": "volume"}
    options: list[str] = []
    kinds = set()
    for field in _fields(entry):
        key, equals, value = field.partition("=")
        key = key.lower()
        kinds.add(key.partition("-")[0] if "-" in key else "")
        if key in ("readonly", "ro"):
            found["read_only"] = _truth(key, equals, value)
        elif key == "volume-nocopy":
            found["no_copy"] = _truth(key, equals, value)
        elif not equals or not value:
            raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        elif key in ("volume-opt", "volume-label"):
            where = found.setdefault("driver_options" if key == "volume-opt" else "labels", {})
            name, _, given = value.partition("=")
            where[name] = given
        elif key == "tmpfs-size":
            options.append(f"size={size(value)}")
        elif key == "tmpfs-mode":
            options.append(f"mode={value}")
        elif key == "bind-recursive":
            _recursive(found, options, value)
        elif key == "bind-nonrecursive":
            options += ["bind"] * _truth(key, equals, value)
        elif key in _MOUNT_KEYS:
            found[_MOUNT_KEYS[key]] = value
        elif key != "consistency":
            raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
    _check_mount(found, kinds, entry)
    if found["type"] == "bind" and "source" in found:
        found["source"] = os.path.abspath(os.path.expanduser(found["source"]))
    if found["type"] == "volume":
        found["mode"] = "z"
    if options:
        found["options"] = options
    return found


def _fields(entry: str) -> list[str]:
    """The fields between commas; one in quotes may have some of its own, as in CSV."""
    try:
        return next(csv.reader([entry]), [])
    except csv.Error as error:
        raise InvalidArgument(f"invalid --mount {entry!r}: {error}") from None


def _truth(key: str, equals: str, value: str) -> bool:
    if not equals:
        return True
    if value.lower() not in ("true", "1", "t", "false", "0", "f"):
        raise InvalidArgument(f"invalid value for {key}: {value}")
    return value.lower() in ("true", "1", "t")


def _recursive(found: dict[str, Any], options: list[str], value: str) -> None:
    """``bind-recursive``: what happens to the mounts below the source."""
    if value == "disabled":
        options.append("bind")
    elif value == "readonly":
        found["recursive_read_only"] = True
    elif value not in ("enabled", "writable"):
        raise InvalidArgument(
            f"invalid value for bind-recursive: {value}",
            hint="enabled, disabled, writable or readonly",
        )


def _check_mount(found: dict[str, Any], kinds: set[str], entry: str) -> None:
    kind = found["type"]
    if kind not in ("bind", "tmpfs", "volume"):
        raise InvalidArgument(f"invalid mount type {kind!r}", hint="bind, volume or tmpfs")
    if "target" not in found:
        raise InvalidArgument(f"target is required in --mount {entry!r}")
    for other in ("bind", "tmpfs", "volume"):
        if other in kinds and other != kind:
            raise InvalidArgument(f"cannot mix '{other}-*' options with mount type '{kind}'")


def device(entry: str) -> dict[str, str]:
    """``--device HOST[:CONTAINER[:rwm]]``."""
    parts = entry.split(":")
    if len(parts) > 3 or not parts[0]:
        raise InvalidArgument(f"invalid device specification: {entry!r}")
    found = {"host_path": parts[0]}
    if len(parts) == 2 and re.fullmatch("[rwm]+", parts[1]):
        found["access"] = parts[1]
    elif len(parts) > 1:
        found["container_path"] = parts[1]
    if len(parts) == 3:
        if not re.fullmatch("[rwm]+", parts[2]):
            raise InvalidArgument(f"invalid device mode: {parts[2]}")
        found["access"] = parts[2]
    return found


def ulimit(entry: str) -> dict[str, Any]:
    """``--ulimit nofile=1024[:2048]``."""
    name, _, value = entry.partition("=")
    soft, _, hard = value.partition(":")
    try:
        return {"name": name, "soft": int(soft), "hard": int(hard or soft)}
    except ValueError:
        raise InvalidArgument(
            f"invalid ulimit argument: {entry}", hint="as nofile=1024:2048"
        ) from None


def restart(text: str) -> dict[str, Any]:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``."""
    name, colon, count = text.partition(":")
    if colon and not count.isdigit():
        raise InvalidArgument(
            "invalid restart policy format: maximum retry count must be an integer"
        )
    return {"name": name, "maximum_retry_count": int(count or 0)}


_KEYS = {"ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31}


def detach_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q``: the bytes a terminal sends for them."""
    found = bytearray()
    for key in text.split(",") if text else ():
        lowered = key.lower()
        if len(key) == 1 and ord(key) < 128:
            found.append(ord(key))
        elif lowered in _KEYS:
            found.append(_KEYS[lowered])
        elif re.fullmatch("ctrl-[a-z]", lowered):
            found.append(ord(lowered[-1]) - 96)
        else:
            raise InvalidArgument(f"invalid detach keys: unknown character {key!r}")
    return bytes(found)
