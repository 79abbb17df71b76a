"""docs/reference/config.md: what ``config.toml`` may hold, from the classes that read it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

from corten.daemon.config import DaemonConfig, EngineConfig
from corten.engine.settings import EngineSettings, RuntimeSettings
from corten.images.settings import Settings as ImageSettings
from corten.networks.types import NetworkConfig

_HEAD = """\
# config.toml

<!-- written by tools/manual.py from the code; change it there -->

`/etc/corten/config.toml`, or what `cortend --config FILE` names. Every key is optional. The daemon
reads it when it starts; SIGHUP has it read `daemon.log_level` again. A key that nobody knows is an
error that names it.
"""
_SECTIONS: tuple[tuple[str, type[Any], tuple[type[Any], ...]], ...] = (
    ("daemon", DaemonConfig, (DaemonConfig,)),
    ("engine", EngineConfig, (EngineConfig, EngineSettings)),
    ("images", ImageSettings, (ImageSettings,)),
    ("network", NetworkConfig, (NetworkConfig,)),
    ("runtimes.NAME", RuntimeSettings, (RuntimeSettings,)),
)


def render() -> str:
    """The whole document."""
    return _HEAD + "".join(_section(*one) for one in _SECTIONS)


def _section(name: str, kind: type[Any], documented: tuple[type[Any], ...]) -> str:
    texts: dict[str, str] = {}
    for one in reversed(documented):
        texts |= fields(inspect.getdoc(one) or "")
    rows = [f"\n## [{name}]\n", "| key | default | |", "|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        default = "" if field.required else f"`{_toml(field.default)}`"
        rows.append(f"| `{field.name}` | {default} | {texts.get(field.name, '')} |")
    return "\n".join(rows) + "\n"


def fields(doc: str) -> dict[str, str]:
    """The entries below ``Fields:`` of a docstring, each as one line."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in doc.partition("Fields:\n")[2].splitlines():
        entry = re.match(r" {4}([a-z0-9_, ]+): (.*)", line)
        if entry:
            names = [name.strip() for name in entry[1].split(",")]
            found |= dict.fromkeys(names, entry[2].strip())
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return {name: text.replace("``", "`").replace("|", "\\|") for name, text in found.items()}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return str(value)
