"""The architecture is a test: imports go down the design's table, and what is forked or
starts on the hot path executes only the modules that are listed here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGE = SOURCE / "corten"

# package: what it may import (docs/design.md, "Layout"); `errors` is allowed everywhere.
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "spec": set(),
    "kernel": set(),
    "store": {"spec"},
    "cgroups": {"kernel", "spec"},
    "oci": {"cgroups", "kernel", "spec"},
    "launch": {"oci", "cgroups", "kernel", "spec"},
    "snapshots": {"kernel", "store", "spec"},
    "images": {"snapshots", "kernel", "store", "spec"},
    "networks": {"kernel", "store", "spec"},
    "engine": {"launch", "images", "snapshots", "networks", "store", "spec"},
    "api": {"engine", "spec"},
    "cri": {"engine", "spec"},
    "dockerapi": {"engine", "spec"},
    "client": {"spec"},
    "cli": {"client", "spec"},
}
ANYTHING = {"daemon", "testing"}

# Modules that cost milliseconds and that nothing on the hot path needs.
FORBIDDEN = {
    "asyncio",
    "collections.abc.typing",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "re",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "typing",
    "functools",
}


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import of ours outside ``if TYPE_CHECKING``."""
    found: list[tuple[int, str]] = []

    def visit(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                visit(node.orelse)
                continue
            if isinstance(node, ast.Import):
                found.extend((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.extend((node.lineno, f"{node.module}.{a.name}") for a in node.names)
            for block in ("body", "orelse", "finalbody"):
                visit(getattr(node, block, []) or [])
            for handler in getattr(node, "handlers", []):
                visit(handler.body)

    visit(ast.parse(path.read_text()).body)
    return [(line, name) for line, name in found if name.startswith("corten.")]


def test_imports_go_down_the_table() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        package = parts[0].removesuffix(".py")
        if package in ANYTHING or package == "__init__":
            continue
        allowed = TABLE[package] | {package, "errors", "__version__"}
        for line, name in imports_of(path):
            target = name.split(".")[1]
            if target not in allowed:
                wrong.append(
                    f"{path.relative_to(SOURCE)}:{line}: {package} must not import {target}"
                )
    assert not wrong, "\n".join(wrong)


def test_table_is_complete() -> None:
    packages = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert packages == (set(TABLE) | ANYTHING) - {"errors"}


def loaded_by(program: str) -> set[str]:
    """The modules that a bare interpreter has loaded after ``program``."""
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {program}; print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HOT = {
    "thin client": "import corten.cli.thin",
    "corten-oci": "import corten.oci.cli",
    "launcher": "import corten.launch.launcher",
}


@pytest.mark.parametrize("name", HOT)
def test_hot_programs_import_next_to_nothing(name: str) -> None:
    loaded = loaded_by(HOT[name])
    assert not loaded & FORBIDDEN, f"{name} loads {sorted(loaded & FORBIDDEN)}"


def test_thin_client_loads_only_what_is_listed() -> None:
    bare = loaded_by("pass")
    ours = {m for m in loaded_by(HOT["thin client"]) - bare if m.startswith("corten")}
    others = loaded_by(HOT["thin client"]) - bare - ours
    assert others <= {
        "__future__",
        "_socket",
        "select",
        "fcntl",
        "termios",
        "tty",
        "_struct",
        "errno",
        "_signal",
    }
    assert ours <= {"corten", "corten.cli", "corten.cli.thin", "corten.cli.wire"}


if __name__ == "__main__":
    for label, code in HOT.items():
        sys.stdout.write(f"{label}: {' '.join(sorted(loaded_by(code)))}\n")
