"""``update``: other limits for a container that runs."""

from __future__ import annotations

import posix

from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel.paths import exists
from corten.oci.cli_common import one_id
from corten.oci.cliargs import SWITCH, VALUE, parse
from corten.oci.records import Record, read_json
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings
    from corten.oci.cliargs import Arguments

# option: member of linux.resources
_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "pids-limit": ("pids", "limit"),
}
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-swap": ("memory", "swap"),
    "memory-reservation": ("memory", "reservation"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_OBSOLETE = ("kernel-memory", "kernel-memory-tcp")
_RDT = ("l3-cache-schema", "mem-bw-schema")
UPDATE = {
    "resources": VALUE,
    **dict.fromkeys((*_NUMBERS, *_SIZES, *_TEXTS, *_OBSOLETE, *_RDT), VALUE),
    "help": SWITCH,
}
_UNITS = "bkmgtp"


def update(settings: Settings, argv: list[str]) -> int:
    """Change limits; what is not named stays as it is."""
    args = parse(argv, UPDATE, short={"r": "resources", "h": "help"})
    record = Record.find(settings.root, one_id(args, "update"), lock=True)
    try:
        if record.status() == "stopped":
            raise FailedPrecondition("container not running", path=record.id)
        cgroup = record.cgroup()
        if cgroup is None:
            raise FailedPrecondition("container has no cgroup", path=record.id)
        resources = _given(args)
        for name in _OBSOLETE:
            if args.text(name):
                settings.log.warning("kernel memory can't be limited any more: left out")
        # device rules are made once: somebody else may have added to them
        resources.pop("devices", None)
        cgroup.apply(_completed(resources, cgroup))
    finally:
        record.close()
    return 0


def _given(args: Arguments) -> dict[str, Any]:
    """``linux.resources`` from a document or from the options."""
    path = args.text("resources")
    if path:
        document = _stdin() if path == "-" else read_json(path, "resources")
        if not isinstance(document, dict):
            raise InvalidArgument("resources are no object", path=path)
        return document
    found: dict[str, Any] = {}
    for name in _RDT:
        if args.text(name) and not exists("/sys/fs/resctrl/info"):
            raise FailedPrecondition(f"--{name}: Intel RDT is not enabled on this host")
    for option, (group, member) in _NUMBERS.items():
        if args.text(option):
            found.setdefault(group, {})[member] = _number(option, args.text(option))
    for option, (group, member) in _SIZES.items():
        if args.text(option):
            found.setdefault(group, {})[member] = size(option, args.text(option))
    for option, (group, member) in _TEXTS.items():
        if args.text(option):
            found.setdefault(group, {})[member] = args.text(option)
    return found


def _stdin() -> Any:
    pieces = []
    while piece := posix.read(0, 1 << 16):
        pieces.append(piece)
    return jsonlite.loads(b"".join(pieces), what="resources")


def _number(option: str, text: str) -> int:
    if not text.removeprefix("-").isdigit():
        raise InvalidArgument(f"invalid value for {option}: {text!r} is not a number")
    return int(text)


def size(option: str, text: str) -> int:
    """Bytes from ``64M``, ``1.5GiB``, ``4096`` or ``-1``.

    Raises:
        InvalidArgument: something else.
    """
    if text == "-1":
        return -1
    word = text.strip().lower()
    figure = word.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = word[len(figure) :].strip() or "b"
    whole, point, part = figure.partition(".")
    fits = unit[0] in _UNITS and unit[1:] in ("", "b", "ib") and not (unit[0] == "b" and unit[1:])
    if not fits or not whole.isdigit() or (point and not part.isdigit()):
        raise InvalidArgument(f"invalid value for {option}: {text!r} is not a size")
    return int(float(figure) * (1 << 10 * _UNITS.index(unit[0])))


def _completed(resources: dict[str, Any], cgroup: Cgroup) -> dict[str, Any]:
    """With the memory limit beside a new limit of memory and swap, which is checked against it."""
    memory = resources.get("memory") or {}
    swap, limit = memory.get("swap"), memory.get("limit")
    if not swap or swap < 0 or limit:
        return resources
    now = (cgroup.stats().get("memory") or {}).get("limit", -1)
    return {**resources, "memory": {**memory, "limit": now}} if now > 0 else resources
