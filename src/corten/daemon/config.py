"""``config.toml``: what an administrator may set."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from corten.engine.logconfig import parse_size
from corten.engine.settings import RuntimeSettings
from corten.errors import InvalidArgument
from corten.images.settings import Settings as ImageSettings
from corten.networks.types import NetworkConfig

_FACES = ("api", "docker", "cri")
_WELL_KNOWN_RUNTIMES = ("runc", "crun", "runsc")
_PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[daemon]``.

    Fields:
        group: its members may use the native protocol and the Docker API.
        faces: which are served: ``api``, ``docker``, ``cri``.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        warm_cli: keep a warm command line for ``corten``.
    """

    group: str = "corten"
    faces: tuple[str, ...] = _FACES
    log_level: str = "info"
    warm_cli: bool = True


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[engine]``; see ``engine.settings`` for the meaning.

    Fields:
        cgroup_driver: ``systemd`` or ``cgroupfs``; empty: ``systemd`` where it runs this machine
            with cgroup v2.
        log_max_size: as ``10m``; ``0``: logs are not rotated.
        log_max_files: how many files of a rotated log are kept.
    """

    share_images: bool = True
    cgroup_driver: Literal["", "systemd", "cgroupfs"] = ""
    cgroup_parent: str = ""
    log_max_size: str = "0"
    log_max_files: int = 1
    event_history: int = 20_000
    start_deadline: float = 60.0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    daemon: DaemonConfig = DaemonConfig()
    engine: EngineConfig = EngineConfig()
    images: ImageSettings = ImageSettings()
    network: NetworkConfig = NetworkConfig()
    runtimes: dict[str, RuntimeSettings] = {}


def load(path: str) -> Config:
    """Read and check the file; one that does not exist gives the defaults.

    Raises:
        InvalidArgument: names the file and what is wrong in it.
    """
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise InvalidArgument(
            f"the configuration can't be read: {error.strerror}", path=path
        ) from error
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidArgument(f"the configuration is wrong: {error}", path=path) from error
    unknown = [face for face in config.daemon.faces if face not in _FACES]
    if unknown:
        raise InvalidArgument(f"daemon.faces names {unknown[0]!r}; there are {_FACES}", path=path)
    parse_size(config.engine.log_max_size)
    return config


def cgroup_driver(config: Config, root: str = "/") -> str:
    """Who makes the containers' cgroups: what the file says, or what fits this machine.

    Arguments:
        root: where the machine's files lie.
    Raises:
        InvalidArgument: systemd is asked for where it does not run.
    """
    booted = Path(root, "run/systemd/system").is_dir()  # sd_booted(3)
    asked = config.engine.cgroup_driver
    if asked == "systemd" and not booted:
        raise InvalidArgument(
            "the configuration is wrong: engine.cgroup_driver is systemd, which does not run here",
            hint='set it to "cgroupfs", or leave it out',
        )
    if asked:
        return asked
    unified = Path(root, "sys/fs/cgroup/cgroup.controllers").exists()
    return "systemd" if booted and unified else "cgroupfs"


def runtimes(config: Config) -> dict[str, RuntimeSettings]:
    """Those of the file, and well-known ones that are installed."""
    found = {}
    for name in _WELL_KNOWN_RUNTIMES:
        path = shutil.which(name, path=_PROGRAM_PATH)
        if path is not None:
            found[name] = RuntimeSettings(path=path)
    return {**found, **config.runtimes}
