"""Our modules' code in one file: what a fresh ``corten-oci`` reads instead of sixty.

Finding, checking and reading a ``.pyc`` costs 0.2 ms a module, more than executing it; so does
a third of that the import system's own bookkeeping. So the code lies in one file in
``__pycache__``, where it is trusted and replaced as any ``.pyc``: by whoever may write there,
else not. What it has of a module counts while the source has the same time and size, and all of
it for the interpreter of one version; else the source is imported as ever, and ``onefilewriter``
writes the file anew.

The file's parts, each marshalled by itself:

``head``   this module's code and what is needed before init is started (``begin``); the
           program (``tools/install.py``) reads it and calls :func:`entry`
``index``  of all modules the source with its time and size, and where the code lies
``main``   the modules of a plain ``create`` or ``run``, in the order of their execution
``thin``   those that all other commands have in common, in that order
``init``   the modules of the container's init (``second``), in that order
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    Place = tuple[int, int]  # offset in the file, length
    # name, is a package, source's path (as all of them below the package), code (None: an
    # extension of CPython's; without a path it is built in)
    Module = tuple[str, bool, str, CodeType | None]
    Head = tuple[bytes, list[Module], dict[str, Place]]
    Source = tuple[str, int, int]  # path, time in ns, size
    # sources by part (init's are among main's), (is a package, source, code) by module
    Index = tuple[dict[str, list[Source]], dict[str, tuple[bool, Source, Place]]]

_NAME = "corten.oci.onefile"
HEAD = 65536  # bytes; the other parts follow
# Loads the modules of one part; the arguments are the package's directory, the file's descriptor
# and the part's place.
LOADER = "import sys,gc;gc.disable()\nimport marshal,posix\n" + (
    "a=[int(i) for i in sys.argv[2:5]]\n"
    "c,m=marshal.loads(posix.pread(a[0],a[2],a[1]));posix.close(a[0])\n"
    "o=sys.modules['corten.oci.onefile']=type(sys)('corten.oci.onefile')\n"
    "exec(c,o.__dict__);o.load(m,sys.argv[1])\n"
)


class _Importer:
    """Finder and loader for what the file holds.

    Attributes:
        stale: a source was found changed, and left to those that import sources.
    """

    def __init__(self, fd: int, index: Index, package: str) -> None:
        self.fd = fd
        self.modules = index[1]
        self.package = package
        self.stale = False

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """For ``sys.meta_path``."""
        entry = self.modules.get(name)
        if entry is None:
            return None
        if not _fits([entry[1]], self.package):
            self.stale = True
            return None
        source = f"{self.package}/{entry[1][0]}"
        # mypy: a loader is one by what it has
        spec = ModuleSpec(name, self, origin=source, is_package=entry[0])  # type: ignore[arg-type]
        spec.has_location = True
        if entry[0]:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """The usual kind."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        exec(_part(self.fd, self.modules[module.__name__][2]), module.__dict__)  # noqa: S102


def _part(fd: int, place: Place) -> Any:
    # as trusted as a .pyc
    return marshal.loads(posix.pread(fd, place[1], place[0]))  # noqa: S302


def entry(head: Head, fd: int, package: str) -> Callable[[], int]:
    """Prepare the imports; the function that runs the command of ``sys.argv``.

    Arguments:
        head: the first part but this module's code.
        fd: the file's descriptor, which becomes ours.
        package: the directory of the package.
    """
    gc.disable()  # nothing lives long enough: it takes a millisecond in twenty
    magic, first, places = head
    if magic == MAGIC_NUMBER:
        load(first, package)
        # the program executed us already
        sys.modules["corten.oci"].onefile = sys.modules[_NAME]  # type: ignore[attr-defined]
        from corten.oci import begin

        early = begin.begin(fd, places["init"])
        index: Index = _part(fd, places["index"])
        part = "main" if begin.makes(sys.argv) else "thin"
        if _fits(index[0]["head"], package) and _fits(index[0][part], package):
            sys.meta_path.insert(2, _Importer(fd, index, package))
            load(_part(fd, places[part]), package)
            return _main()
        if early:
            early.discard()
        for name in [n for n in sys.modules if n.partition(".")[0] == "corten" and n != _NAME]:
            del sys.modules[name]
    posix.close(fd)
    return _main()


def _main() -> Callable[[], int]:
    from corten.oci.cli import main

    return main


def load(modules: list[Module], package: str) -> None:
    """Execute modules, each after those that it imports; past the import system."""
    made = []
    for name, is_package, source, code in modules:
        if name in sys.modules:
            continue
        if code is None:
            _load_extension(name, source)
            continue
        module = sys.modules[name] = type(sys)(name)
        names = module.__dict__
        names["__file__"] = path = f"{package}/{source}"
        names["__package__"] = name if is_package else name.rpartition(".")[0]
        if is_package:
            names["__path__"] = [path.rpartition("/")[0]]
        made.append((name, module, code))
    # all are there before the first runs: a package may import what lies in it
    for name, module, code in made:
        exec(code, module.__dict__)  # noqa: S102
        above, _, last = name.rpartition(".")
        if above:
            setattr(sys.modules[above], last, module)


def _load_extension(name: str, path: str) -> None:
    import _imp

    spec = ModuleSpec(name, None, origin=path)
    try:
        module = _imp.create_dynamic(spec) if path else _imp.create_builtin(spec)
    except ImportError:
        return  # moved by an upgrade: it is imported as ever
    (_imp.exec_dynamic if path else _imp.exec_builtin)(module)
    sys.modules[name] = module


def _fits(sources: list[Source], package: str) -> bool:
    try:
        for path, mtime, size in sources:
            now = posix.stat(f"{package}/{path}")
            if now.st_mtime_ns != mtime or now.st_size != size:
                return False
    except OSError:
        return False
    return True


def is_current(package: str) -> bool:
    """Whether there is a file that fits."""
    try:
        fd = posix.open(path_in(package), posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        magic, _, places = marshal.loads(posix.read(fd, HEAD))[1]  # noqa: S302
        if magic != MAGIC_NUMBER:
            return False
        modules = _part(fd, places["index"])[1]
        return _fits([source for _, source, _ in modules.values()], package)
    except (OSError, ValueError, EOFError, TypeError):
        return False  # torn, or of another version of ours
    finally:
        posix.close(fd)


def used() -> bool:
    """Whether all code comes from the file."""
    return any([isinstance(finder, _Importer) and not finder.stale for finder in sys.meta_path])


def directory_in(package: str) -> str:
    """The directory of what stands in for the standard library's (``bareencodings``)."""
    return f"{package}/__pycache__/corten-oci.{sys.implementation.cache_tag}"


def path_in(package: str) -> str:
    """The file's path beside the package's own ``.pyc``."""
    return f"{directory_in(package)}.bin"
