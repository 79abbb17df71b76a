"""What the face needs to know of the daemon."""

from __future__ import annotations

import msgspec

from corten import __version__


class DockerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Docker API's server.

    Fields:
        root_dir: the daemon's data root, for ``docker info``.
        version: what ``docker version`` shows as the server's version.
        git_commit: likewise.
        shutdown_seconds: how long closing waits for plain requests.
    """

    root_dir: str = "/var/lib/corten"
    version: str = __version__
    git_commit: str = ""
    shutdown_seconds: float = 2.0
