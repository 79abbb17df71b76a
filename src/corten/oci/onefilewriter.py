"""Writing the file of :mod:`corten.oci.onefile`.

``python3 -IS -X no_debug_ranges -c 'import sys; sys.path.insert(0, LIB); from
corten.oci.onefilewriter import main; main()'``: in an interpreter of its own, where it imports
what each part needs and notes in which order.
"""

from __future__ import annotations

import errno
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

from corten.kernel.paths import make_directories
from corten.oci import onefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    from corten.oci.onefile import Module, Place, Source

_PACKAGES = ("", "cgroups", "kernel", "oci", "oci/seccomp", "spec")
# CPython's extensions that our modules import and that no interpreter starts with. Debian has most
# of them built in; the import system would take 50 µs for each of these.
_EXTENSIONS = ("_ctypes", "_json", "_sha256", "_socket", "_stat", "_struct", "errno", "fcntl",
               "select")  # fmt: skip
_ANNOTATIONS = 0x1000000  # __future__.annotations.compiler_flag: they stay strings
_HEAD = ("corten.oci.begin",)
_MAIN = ("corten.oci.cli", "corten.oci.report", "corten.oci.cli_run", "corten.oci.foreground",
         "corten.cgroups.v1")  # fmt: skip
_THIN = ("corten.oci.cli", "corten.oci.report", "corten.oci.records", "corten.oci.cli_common")
_INIT = ("corten.oci.second",)


def refresh() -> None:
    """Write the file by another interpreter, where it may be written."""
    package = _package()
    if not posix.access(f"{package}/__pycache__", posix.W_OK) or onefile.is_current(package):
        return
    lib = package.rpartition("/")[0]
    text = f"import sys; sys.path.insert(0, {lib!r}); from {__name__} import main; main()"
    argv = [sys.executable, "-IS", "-X", "no_debug_ranges", "-c", text]
    try:
        posix.waitpid(posix.posix_spawn(argv[0], argv, posix.environ), 0)
    except OSError:
        pass  # no process to be had: the next command tries again


def main() -> None:
    """Write it; silent where that is not possible."""
    try:
        write(_package())
    except OSError:
        pass  # somebody removes the package just now, or the disk is full


def _package() -> str:
    return __file__.rpartition("/oci/")[0]


def write(package: str) -> None:
    """Write the file for the package in this directory.

    Raises:
        OSError: the directory can't be written, or a source vanished meanwhile.
    """
    sources = _Sources(package)
    parts: list[bytes] = []
    offset = onefile.HEAD

    def add(value: Any) -> Place:
        nonlocal offset
        raw = marshal.dumps(value)
        parts.append(raw)
        offset += len(raw)
        return offset - len(raw), len(raw)

    reader = sources.code["corten.oci.onefile"]
    head = sources.loaded_by(_HEAD)
    main_part, thin_part = (
        [item for item in sources.loaded_by(names) if item not in head] for names in (_MAIN, _THIN)
    )
    init_part = [(*item[:3], _bare(item[3])) for item in sources.loaded_by(_INIT)]
    places = {"main": add(main_part), "thin": add(thin_part)}
    places["init"] = add((_bare(reader), init_part))
    checks = {"head": sources.checks_of(head), "thin": sources.checks_of(thin_part)}
    both = sources.checks_of(main_part + init_part)
    checks["main"] = [source for source in both if source not in checks["head"]]
    index = {
        name: (sources.places[name][0], sources.checks[name], add(code))
        for name, code in sources.code.items()
    }
    places["index"] = add((checks, index))
    first = marshal.dumps((reader, (MAGIC_NUMBER, head, places)))
    if len(first) > onefile.HEAD:
        raise OSError(27, "the head is too long")  # EFBIG
    _write_encodings(onefile.directory_in(package), sources.code["corten.oci.bareencodings"])
    _replace(onefile.path_in(package), first.ljust(onefile.HEAD, b"\0") + b"".join(parts))


def _write_encodings(directory: str, code: CodeType) -> None:
    make_directories(directory)
    # a .pyc without a source: number, flags, and the time and size of none
    _replace(f"{directory}/encodings.pyc", MAGIC_NUMBER + bytes(12) + marshal.dumps(code))


def _replace(path: str, content: bytes) -> None:
    new = f"{path}.{posix.getpid()}"
    fd = posix.open(new, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o644)
    try:
        whole = posix.write(fd, content) == len(content)
    finally:
        posix.close(fd)
    if whole:
        posix.rename(new, path)
    else:
        posix.unlink(new)


def _without_imports(text: bytes) -> bytes:
    """The source without imports that a fresh interpreter would pay for: of ``__future__``, which
    it would have to find, and of ``errno``, whose 130 numbers take 0.1 ms; those that are used are
    put in."""
    text = text.replace(b"\nfrom __future__ import annotations\n", b"\n\n", 1)
    before, found, rest = text.partition(b"\nfrom errno import ")
    if not found:
        return text
    end = b")" if rest.startswith(b"(") else b"\n"
    listed, _, rest = rest.partition(end)
    names = listed.decode().strip("(").replace(",", " ").split()
    line = f"\n{', '.join(names)}, = {', '.join([str(getattr(errno, n)) for n in names])},"
    # as many lines as before
    return before + line.encode() + b"\n" * (listed + end).count(b"\n") + rest


def _bare(code: CodeType | None) -> CodeType | None:
    """Code without what tracebacks alone need, which takes a quarter of the time to read it: of
    an init's errors nobody sees one."""
    if code is None:
        return None
    constants = [_bare(item) if isinstance(item, type(code)) else item for item in code.co_consts]
    return code.replace(
        co_consts=tuple(constants), co_linetable=b"", co_qualname=code.co_name, co_filename=""
    )


class _Sources:
    """All modules that the runtime may import, compiled; and a finder for them.

    Attributes:
        checks: path, time and size of each, by name.
        places: whether it is a package, and its path, by name.
        code: by name; without docstrings, as nobody reads them.
    """

    def __init__(self, package: str) -> None:
        self.checks: dict[str, Source] = {}
        self.places: dict[str, tuple[bool, str]] = {}
        self.code: dict[str, CodeType] = {}
        self.order: list[str] = []
        self.package = package
        for directory in _PACKAGES:
            inner = f"{package}/{directory}" if directory else package
            dotted = ".".join(["corten", *directory.split("/")]) if directory else "corten"
            for file in sorted(posix.listdir(inner)):
                if file.endswith(".py") and (directory or file in ("__init__.py", "errors.py")):
                    self._add(dotted, f"{inner}/{file}"[len(package) + 1 :], file[:-3])

    def _add(self, package: str, path: str, stem: str) -> None:
        name = package if stem == "__init__" else f"{package}.{stem}"
        # before it is read: a source that is written meanwhile makes the file stale
        full = f"{self.package}/{path}"
        facts = posix.stat(full)
        fd = posix.open(full, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = posix.read(fd, facts.st_size)
        finally:
            posix.close(fd)
        self.checks[name] = path, facts.st_mtime_ns, facts.st_size
        self.places[name] = stem == "__init__", path
        self.code[name] = compile(_without_imports(text), full, "exec", _ANNOTATIONS, True, 2)

    def checks_of(self, modules: list[Module]) -> list[Source]:
        """Of the modules' sources, each once."""
        return [self.checks[name] for name in dict.fromkeys([m[0] for m in modules if m[3]])]

    def loaded_by(self, names: tuple[str, ...]) -> list[Module]:
        """What is executed to import modules, in the order in which it is."""
        self.order = []
        kept = {name: sys.modules.pop(name) for name in list(sys.modules) if self._ours(name)}
        for name in _EXTENSIONS:
            sys.modules.pop(name, None)
        sys.meta_path.insert(0, self)
        try:
            for name in names:
                __import__(name)
        finally:
            sys.meta_path.remove(self)
            for name in [name for name in sys.modules if self._ours(name)]:
                del sys.modules[name]
            sys.modules.update(kept)
        found: list[Module] = []
        for name in self.order:
            if name in self.code:
                found.append((name, *self.places[name], self.code[name]))
            else:
                found.append((name, False, getattr(sys.modules[name], "__file__", ""), None))
        return found

    @staticmethod
    def _ours(name: str) -> bool:
        return name.partition(".")[0] == "corten"

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """For ``sys.meta_path``."""
        if name in _EXTENSIONS:
            self.order.append(name)
        if name not in self.code:
            return None
        # mypy: a loader is one by what it has
        spec = ModuleSpec(name, self, is_package=self.places[name][0])  # type: ignore[arg-type]
        if self.places[name][0]:
            path = f"{self.package}/{self.places[name][1]}"
            spec.submodule_search_locations = [path.rpartition("/")[0]]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """The usual kind."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code, then note that it is done."""
        module.__file__ = f"{self.package}/{self.places[module.__name__][1]}"
        exec(self.code[module.__name__], module.__dict__)  # noqa: S102
        self.order.append(module.__name__)
