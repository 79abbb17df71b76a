"""What an ELF program loads: its interpreter, and its libraries as ld.so(8) finds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import unpack_from
from typing import Any

from corten.errors import NotFound
from corten.spec._struct import Struct

_CACHE = "/etc/ld.so.cache"
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_DEFAULTS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


class Needs(Struct):
    """What one ELF file asks for.

    Fields:
        machine: its class and machine; a library must have the same.
        interpreter: path of the dynamic loader, ``""`` for none.
        needed: names of libraries.
        search: directories of its own (RPATH or RUNPATH), ``$ORIGIN`` resolved.
    """

    machine: tuple[int, str]
    interpreter: str
    needed: tuple[str, ...]
    search: tuple[str, ...]


def read(path: str) -> Needs | None:
    """What the file at ``path`` needs; None if it is no ELF file."""
    # Imported at first use: it costs the daemon's start 20 ms, and few images are made here.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as file:  # noqa: PTH123  # handed to the ELF library
        if file.read(4) != b"\x7fELF":
            return None
        file.seek(0)
        try:
            return _needs(ELFFile(file), path)
        except ELFError:
            return None


def _needs(elf: Any, path: str) -> Needs:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.segments import InterpSegment

    interpreter = ""
    needed: list[str] = []
    rpath: list[str] = []
    runpath: list[str] = []
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            tag: Any  # its attributes depend on its kind
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag == "DT_RPATH":
                    rpath += tag.rpath.split(":")
                elif tag.entry.d_tag == "DT_RUNPATH":
                    runpath += tag.runpath.split(":")
    origin = os.path.dirname(os.path.realpath(path))
    search = runpath or rpath  # RPATH does not count where there is a RUNPATH
    return Needs(
        machine=(elf.elfclass, elf["e_machine"]),
        interpreter=interpreter,
        needed=tuple(needed),
        search=tuple([_expand(entry, origin, elf.elfclass) for entry in search if entry]),
    )


def _expand(entry: str, origin: str, elf_class: int) -> str:
    lib = "lib64" if elf_class == 64 else "lib"
    for word, value in (("ORIGIN", origin), ("LIB", lib), ("PLATFORM", os.uname().machine)):
        entry = entry.replace(f"${{{word}}}", value).replace(f"${word}", value)
    return os.path.normpath(entry)


class Libraries:
    """Finds libraries of this machine."""

    def __init__(self) -> None:
        self._cache = _read_cache()
        self._machines: dict[str, tuple[int, str] | None] = {}

    def find(self, name: str, needs: Needs, inherited: tuple[str, ...], user: str) -> str:
        """The path of a library.

        Arguments:
            needs: of the file that asks.
            inherited: search directories of the program that loads it.
            user: who asks, for the error.
        Raises:
            NotFound: there is none of this machine's kind.
        """
        for path in self._candidates(name, needs, inherited):
            if self._machine(path) == needs.machine:
                return path
        raise NotFound(
            f"{user} needs the library {name}, which this machine does not have",
            step="image from host",
            hint="install the package that has it",
        )

    def _candidates(self, name: str, needs: Needs, inherited: tuple[str, ...]) -> Iterator[str]:
        if "/" in name:
            yield name
            return
        for directory in (*needs.search, *inherited):
            yield f"{directory}/{name}"
        yield from self._cache.get(name, ())
        for directory in _DEFAULTS:
            yield f"{directory}/{name}"

    def _machine(self, path: str) -> tuple[int, str] | None:
        if path not in self._machines:
            try:
                needs = read(path)
            except OSError:
                needs = None
            self._machines[path] = None if needs is None else needs.machine
        return self._machines[path]


def _read_cache() -> dict[str, list[str]]:
    """``/etc/ld.so.cache`` (glibc, sysdeps/generic/dl-cache.h): name to paths, best first."""
    try:
        with open(_CACHE, "rb") as file:  # noqa: PTH123  # one read
            data = file.read()
    except OSError:
        return {}
    start = data.find(_CACHE_MAGIC)
    if start < 0:
        return {}
    (count,) = unpack_from("=I", data, start + 20)
    found: dict[str, list[str]] = {}
    for number in range(count):
        _, key, value = unpack_from("=iII", data, start + 48 + 24 * number)
        name = _c_string(data, start + key)
        found.setdefault(name, []).append(_c_string(data, start + value))
    return found


def _c_string(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.index(b"\0", at)])
