"""The files that programs need: themselves, links on the way, loaders, libraries, interpreters."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from corten.errors import InvalidArgument, NotFound
from corten.images.host import elf

_SHEBANG_LIMIT = 256  # as the kernel (binfmt_script)
# What merged systems have as links into /usr; a program is found through them.
_MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Where loaders look without a cache, whatever the distribution.
_LOADER_DIRECTORIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")


class Closure:
    """Collects paths of this machine, absolute, with links resolved in all but the last part."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.needs_cache = False
        self._libraries = elf.Libraries()
        self._done: set[str] = set()
        for link in _MERGED:
            if os.path.islink(link):
                self.paths.add(link)

    def add_program(self, name: str) -> str:
        """Add a program by name or path.

        Returns:
            its path inside the image.
        Raises:
            NotFound: there is none. InvalidArgument: it can't be executed.
        """
        path = name if "/" in name else shutil.which(name, path=_search_path())
        if path is None or not os.path.isfile(path):
            raise NotFound(
                f"no program {name} on this machine",
                step="image from host",
                path=name,
                hint="give its absolute path, or install it",
            )
        if not os.path.isabs(path):
            path = os.path.abspath(path)
        if not os.access(path, os.X_OK):
            raise InvalidArgument(f"{path} can't be executed", step="image from host", path=path)
        self._add(path, ())
        return path

    def _add(self, path: str, inherited: tuple[str, ...]) -> None:
        real = self._add_links(path)
        if real in self._done:
            return
        self._done.add(real)
        needs = elf.read(real)
        if needs is None:
            self._add_interpreter(real)
            return
        if needs.interpreter:
            self._add(needs.interpreter, ())
        search = (*needs.search, *inherited)
        for name in needs.needed:
            library = self._libraries.find(name, needs, inherited, path)
            self._note_directory(library, search)
            self._add(library, search)

    def _note_directory(self, library: str, search: tuple[str, ...]) -> None:
        """A library in a directory that only the loader's cache knows needs the cache."""
        directory = os.path.dirname(library)
        if directory in search:
            return
        parent, base = os.path.split(os.path.realpath(directory))
        is_default = os.path.realpath(directory) in _LOADER_DIRECTORIES or (
            parent in _LOADER_DIRECTORIES and base.endswith(("-linux-gnu", "-linux-gnueabihf"))
        )
        if not is_default:
            self.needs_cache = True

    def _add_links(self, path: str) -> str:
        """Add ``path`` and each link it leads through; what it is in the end."""
        for _ in range(40):
            place = f"{os.path.realpath(os.path.dirname(path))}/{os.path.basename(path)}"
            self.paths.add(place)
            if not os.path.islink(place):
                return place
            path = os.path.join(os.path.dirname(place), os.readlink(place))
        raise InvalidArgument(f"{path} is a circle of links", step="image from host", path=path)

    def _add_interpreter(self, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123  # one line
            first = file.read(_SHEBANG_LIMIT).split(b"\n")[0]
        if not first.startswith(b"#!"):
            return
        words = os.fsdecode(first[2:]).split()
        if not words:
            return
        self.add_program(words[0])
        if os.path.basename(words[0]) == "env":
            named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            if named:
                self.add_program(named[0])


def _search_path() -> str:
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return os.environ.get("PATH") or usual


def collect(programs: Sequence[str]) -> tuple[Closure, list[str]]:
    """Everything that ``programs`` need, and their paths. Blocks."""
    closure = Closure()
    return closure, [closure.add_program(name) for name in programs]
