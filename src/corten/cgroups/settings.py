"""The plan of a ``linux.resources``: which file gets which value, before anything is written."""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENOENT

from corten.cgroups import fs
from corten.errors import CortenError, FailedPrecondition, InvalidArgument
from corten.kernel import paths
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNITS = ("KB", "MB", "GB", "TB")


class Setting(Struct):
    """One value for one file.

    Fields:
        controller: whose file it is; its absence is an error.
        file: file name.
        value: what to write.
        others: further files with their values; the first file that exists is meant.
        asked: the member of ``linux.resources`` it comes from, for the error.
        optional: skip where the file is absent (a second file for the same limit).
    """

    controller: str
    file: str
    value: str
    asked: str
    others: tuple[tuple[str, str], ...] = ()
    optional: bool = False


def member(resources: dict[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object, or an empty one; null counts as absent."""
    value = resources.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"linux.resources.{name} is not an object", step="resources")
    return value


def number(group: dict[str, Any], name: str, where: str) -> int | None:
    """A member that is a whole number, or None where absent or null."""
    value = group.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"linux.resources.{where}.{name} is not a number", step="resources")
    return value


def text(group: dict[str, Any], name: str, where: str) -> str:
    """A member that is a string, or ``""``."""
    value = group.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\n" in value:
        raise InvalidArgument(f"linux.resources.{where}.{name} is no list", step="resources")
    return value


def rdma(resources: dict[str, Any]) -> list[Setting]:
    """``rdma.max``, equal on v1 and v2."""
    settings = []
    for device, limits in member(resources, "rdma").items():
        words = [device]
        for name, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            value = number(limits, name, "rdma")
            if value is not None:
                words.append(f"{key}={value}")
        settings.append(
            Setting(controller="rdma", file="rdma.max", value=" ".join(words), asked="rdma")
        )
    return settings


def device_lines(block: dict[str, Any], name: str, value_name: str) -> list[tuple[str, int]]:
    """``(major:minor, value)`` of a list in ``blockIO``."""
    lines = []
    for item in block.get(name) or ():
        value = number(item, value_name, f"blockIO.{name}")
        major, minor = number(item, "major", name), number(item, "minor", name)
        if value is None:
            continue
        if major is None or minor is None:
            raise InvalidArgument(f"linux.resources.blockIO.{name} needs major and minor")
        lines.append((f"{major}:{minor}", value))
    return lines


def page_size(value: Any) -> str:
    """A huge page size as the file names have it (``2MB``, ``1GB``, ``64KB``)."""
    if not isinstance(value, str) or not value[:-2].isdigit() or value[-2:] not in _UNITS:
        raise InvalidArgument(f"huge page size {value!r} is not like 2MB", step="resources")
    return value


def check_swap(memory: dict[str, Any]) -> None:
    """Refuse a swap limit that makes no sense beside the memory limit (config-linux.md)."""
    limit, swap = number(memory, "limit", "memory"), number(memory, "swap", "memory")
    if swap is None or swap <= 0:
        return
    if limit is None or limit <= 0:
        raise InvalidArgument(
            f"memory and swap limit {swap} needs a memory limit", step="resources"
        )
    if swap < limit:
        raise InvalidArgument(
            f"memory and swap limit {swap} is below the memory limit {limit}",
            step="resources",
            hint="swap counts memory and swap together",
        )


def check_swappiness(memory: dict[str, Any]) -> int | None:
    """``memory.swappiness`` in 0 to 100, or None."""
    value = number(memory, "swappiness", "memory")
    if value is not None and not 0 <= value <= 100:
        raise InvalidArgument(f"memory swappiness {value} is not in 0 to 100", step="resources")
    return value


def choose(directory: str, setting: Setting) -> tuple[str, str]:
    """``(path, value)`` of the first of a setting's files that exists, else of its own file."""
    for file, value in ((setting.file, setting.value), *setting.others):
        if not setting.others or paths.exists(f"{directory}/{file}"):
            return f"{directory}/{file}", value
    return f"{directory}/{setting.file}", setting.value


def write_all(plan: list[Setting], directory_of: Callable[[Setting], str]) -> None:
    """Write a plan's values.

    What the kernel refuses at first may wait for its partner (memory for swap, quota for
    period), so it is tried once more at the end.

    Raises:
        CortenError: of the kind that :func:`corten.cgroups.fs.failed` gives.
    """
    again: list[Setting] = []
    for setting in plan:
        try:
            _write(setting, directory_of(setting))
        except OSError as error:
            if error.errno not in (EINVAL, EBUSY):
                raise _failed(error, directory_of(setting), setting) from None
            again.append(setting)
    for setting in again:
        try:
            _write(setting, directory_of(setting))
        except OSError as error:
            raise _failed(error, directory_of(setting), setting) from None


def _failed(error: OSError, directory: str, setting: Setting) -> CortenError:
    path, value = choose(directory, setting)
    if error.errno != ENOENT:
        failure = fs.failed(error, path, value)
        failure.step = f"cgroup {setting.asked}"
        return failure
    what = f"there is no {paths.name(path)}"
    if not paths.is_directory(directory):
        what = "the group does not exist"
    return FailedPrecondition(
        f"{setting.asked} = {value} can't be set: {what}",
        step="cgroup",
        path=path,
        errno=ENOENT,
        hint=f"the kernel lacks it, or the controller {setting.controller} "
        "is not enabled in the parent group",
    )


def _write(setting: Setting, directory: str) -> None:
    path, value = choose(directory, setting)
    try:
        fs.write_raw(path, value)
    except OSError as error:
        if not (setting.optional and error.errno == ENOENT):
            raise


def check_before_update(memory: dict[str, Any], usage_file: str) -> None:
    """``checkBeforeUpdate``: refuse a memory limit below the present usage.

    Raises:
        FailedPrecondition: with both figures.
    """
    limit = number(memory, "limit", "memory")
    if not memory.get("checkBeforeUpdate") or not limit or limit < 0:
        return
    usage = fs.read_int(usage_file)
    if usage > limit:
        raise FailedPrecondition(
            f"memory limit {limit} is below the usage {usage}", step="cgroup", path=usage_file
        )
