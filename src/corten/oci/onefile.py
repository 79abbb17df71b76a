"""Our modules' code in one file: what a fresh ``corten-oci`` reads instead of sixty.

Finding, checking and reading a ``.pyc`` costs 0.2 ms a module, more than executing it. So
the first command that finds no such file, or a stale one, writes the code of all it has
imported beside the package, in ``__pycache__``, where it is trusted and replaced as any
``.pyc``: by whoever may write there, else not. It is stale when any source has another time
or size, or the interpreter another version; then everything is imported as ever.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    # is a package, source's path, its time (ns) and size, marshalled code
    Entry = tuple[bool, str, int, int, bytes]

_PACKAGE = "corten"


class _Importer:
    """Finder and loader for what the file holds."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """For ``sys.meta_path``."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        # mypy: a loader is one by what it has
        spec = ModuleSpec(name, self, origin=entry[1], is_package=entry[0])  # type: ignore[arg-type]
        spec.has_location = True
        if entry[0]:
            spec.submodule_search_locations = [entry[1].rpartition("/")[0]]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """The usual kind."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        # as trusted as a .pyc
        exec(marshal.loads(self.entries[module.__name__][4]), module.__dict__)  # noqa: S102, S302


def install() -> bool:
    """Import from the file from now on, where it is there and fits. Whether it does."""
    try:
        fd = posix.open(_path(), posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        raw = posix.read(fd, posix.fstat(fd).st_size)
        magic, entries = marshal.loads(raw)  # noqa: S302  # as trusted as a .pyc
        if magic != MAGIC_NUMBER or not all([_fits(entry) for entry in entries.values()]):
            return False
    except (OSError, ValueError, EOFError, TypeError):
        return False  # torn, or written by another version
    finally:
        posix.close(fd)
    sys.meta_path.insert(0, _Importer(entries))
    return True


def _fits(entry: Entry) -> bool:
    now = posix.stat(entry[1])
    return now.st_mtime_ns == entry[2] and now.st_size == entry[3]


def complete() -> None:
    """Add the code of what was imported from elsewhere. Where that is not possible the file
    stays as it was."""
    held = [finder.entries for finder in sys.meta_path if isinstance(finder, _Importer)]
    entries: dict[str, Entry] = dict(held[0]) if held else {}
    known = len(entries)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == _PACKAGE and name not in entries:
            entry = _entry(module)
            if entry is not None:
                entries[name] = entry
    if len(entries) > known:
        _write(entries)


def _write(entries: dict[str, Entry]) -> None:
    path = _path()
    try:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        new = f"{path}.{posix.getpid()}"
        fd = posix.open(new, flags, 0o644)
    except OSError:
        return
    try:
        raw = marshal.dumps((MAGIC_NUMBER, entries))
        whole = posix.write(fd, raw) == len(raw)
    except OSError:
        whole = False
    finally:
        posix.close(fd)
    try:
        posix.rename(new, path) if whole else posix.unlink(new)
    except OSError:
        pass  # somebody removes the package just now


def _entry(module: ModuleType) -> Entry | None:
    spec = module.__spec__
    source = spec.origin if spec is not None else None
    read: Any = getattr(spec and spec.loader, "get_code", None)
    if spec is None or source is None or read is None:
        return None
    try:
        # before the code is read: a source that is written meanwhile makes the entry stale
        at = posix.stat(source)
        code = read(spec.name)
    except (OSError, ImportError, SyntaxError):
        return None
    is_package = spec.submodule_search_locations is not None
    return is_package, source, at.st_mtime_ns, at.st_size, marshal.dumps(code)


def _path() -> str:
    """Beside the package's own ``.pyc``."""
    here = __file__.rpartition("/oci/")[0]
    return f"{here}/__pycache__/{_PACKAGE}-oci.{sys.implementation.cache_tag}.bin"
