"""``Binds``, ``Mounts`` and ``Tmpfs`` to the engine's mount requests. No I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping

from corten.dockerapi.requests import DriverConfig, Mount, VolumeOptions
from corten.engine.types import MountRequest
from corten.errors import InvalidArgument, Unimplemented

_PROPAGATIONS = ("shared", "rshared", "slave", "rslave", "private", "rprivate")
_CONSISTENCIES = ("", "default", "consistent", "cached", "delegated")
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_OPPOSITES = {
    word: opposite
    for pair in (
        ("exec", "noexec"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("ro", "rw"),
        ("async", "sync"),
        ("atime", "noatime"),
    )
    for word, opposite in (pair, pair[::-1])
}


def bind(text: str, driver: str = "") -> MountRequest:
    """One of ``Binds``: ``/host:/container[:options]``, or a volume's name for the first.

    Arguments:
        driver: of a volume that is not there yet.

    Raises:
        InvalidArgument: in dockerd's words.
    """
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts[:2]):
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    source, target = parts[0], _target(parts[1], text)
    words = parts[2].split(",") if len(parts) == 3 else []
    for word in words:
        known = ("ro", "rw", "z", "Z", "nocopy", *_PROPAGATIONS, *_CONSISTENCIES)
        if word not in known:
            raise InvalidArgument(f'invalid mode: {parts[2]} in volume specification "{text}"')
    if "ro" in words and "rw" in words:
        raise InvalidArgument(f'invalid mode: {parts[2]} in volume specification "{text}"')
    named = not source.startswith("/")
    return MountRequest(
        type="volume" if named else "bind",
        source=source if named else posixpath.normpath(source),
        target=target,
        read_only="ro" in words,
        propagation=next((word for word in words if word in _PROPAGATIONS), ""),
        create_source=not named,
        selinux_relabel="z" in words or "Z" in words,
        mode=",".join(words) or ("z" if named else ""),
        no_copy="nocopy" in words,
        driver=driver if named else "",
    )


def tmpfs(given: Mapping[str, str]) -> list[MountRequest]:
    """``Tmpfs``: target to options, over Docker's defaults."""
    return [
        MountRequest(
            type="tmpfs",
            target=_target(target, target),
            read_only="ro" in options.split(","),
            options=_merge(option for option in options.split(",") if option),
        )
        for target, options in given.items()
    ]


def mount(given: Mount) -> MountRequest:
    """One of ``Mounts``.

    Raises:
        InvalidArgument: in dockerd's words.
        Unimplemented: a type or option that is not offered.
    """
    kind = given.type or ""
    make = _KINDS.get(kind)
    if make is None:
        raise InvalidArgument(f"invalid mount config for type {kind!r}: mount type unknown")
    if not given.target:
        raise _invalid(kind, "field Target must not be empty")
    if (given.consistency or "") not in _CONSISTENCIES:
        raise _invalid(kind, f"unknown consistency {given.consistency!r}")
    for name in ("bind", "tmpfs", "volume"):
        if getattr(given, f"{name}_options") is not None and kind != name:
            raise _invalid(kind, f"field {name.capitalize()}Options must not be specified")
    return make(given, _target(given.target, given.target))


def _bind_mount(given: Mount, target: str) -> MountRequest:
    if not given.source:
        raise _invalid("bind", "field Source must not be empty")
    if not given.source.startswith("/"):
        raise _invalid("bind", f"invalid mount path: '{given.source}' mount path must be absolute")
    options = given.bind_options
    propagation, create = "", False
    own: tuple[str, ...] = ()
    recursive_read_only = bool(given.read_only)
    if options is not None:
        propagation = options.propagation or ""
        if propagation and propagation not in _PROPAGATIONS:
            raise _invalid("bind", f"invalid propagation mode: {propagation}")
        create = bool(options.create_mountpoint)
        own = ("bind",) if options.non_recursive else ()
        recursive_read_only &= not options.read_only_non_recursive
    return MountRequest(
        type="bind",
        source=posixpath.normpath(given.source),
        target=target,
        read_only=bool(given.read_only),
        recursive_read_only=recursive_read_only,
        propagation=propagation,
        options=own,
        create_source=create,
    )


def _tmpfs_mount(given: Mount, target: str) -> MountRequest:
    if given.source:
        raise _invalid("tmpfs", "field Source must not be specified")
    options = given.tmpfs_options
    words = ["ro"] if given.read_only else []
    if options is not None:
        if options.size_bytes:
            words.append(f"size={options.size_bytes}")
        if options.mode:
            words.append(f"mode={options.mode:o}")
        words += ["=".join(pair) for pair in options.options or ()]
    return MountRequest(
        type="tmpfs", target=target, read_only=bool(given.read_only), options=_merge(words)
    )


def _volume_mount(given: Mount, target: str) -> MountRequest:
    options = given.volume_options
    options = options or VolumeOptions()
    driver = options.driver_config or DriverConfig()
    if options.subpath and not _stays_inside(options.subpath):
        raise _invalid(
            "volume", f"subpath must be a relative path within the volume: {options.subpath}"
        )
    return MountRequest(
        type="volume",
        source=given.source or "",
        target=target,
        read_only=bool(given.read_only),
        mode="z",
        no_copy=bool(options.no_copy),
        subpath=options.subpath or "",
        driver=driver.name or "",
        driver_options=driver.options,
        labels=options.labels,
    )


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _later(given: Mount, target: str) -> MountRequest:
    raise Unimplemented(f"mounts of type {given.type} are not implemented by corten yet")


_KINDS: dict[str, Callable[[Mount, str], MountRequest]] = {
    "bind": _bind_mount,
    "tmpfs": _tmpfs_mount,
    "volume": _volume_mount,
    "image": _later,
    "cluster": _later,
    "npipe": _later,
}


def _merge(wanted: Iterable[str]) -> tuple[str, ...]:
    """Docker's options of a tmpfs, each replaced by the user's where they contradict."""
    words = [word for word in wanted if word]
    taken_back = {_OPPOSITES.get(word) for word in words}
    kept = [word for word in _TMPFS_DEFAULTS if word not in taken_back and word not in words]
    return (*kept, *words)


def _target(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(
            f"invalid volume specification: '{text}': "
            f"invalid mount path: '{path}' mount path must be absolute"
        )
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise InvalidArgument(
            f"invalid volume specification: '{text}': invalid specification: "
            "destination can't be '/'"
        )
    return clean


def _invalid(kind: str, why: str) -> InvalidArgument:
    return InvalidArgument(f'invalid mount config for type "{kind}": {why}')
