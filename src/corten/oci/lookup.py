"""Finding the program and the working directory, inside the container, as the final user."""

from __future__ import annotations

import posix
from _stat import S_ISDIR
from errno import EACCES, EISDIR, ENOENT, ENOTDIR

from corten.errors import PermissionDenied
from corten.oci.failure import failed, not_executable, not_found

TYPE_CHECKING = False

# What a login would have; a configuration without PATH gets it (execvp(3) has its own too).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str, env: tuple[str, ...]) -> str:
    """The file that ``name`` stands for.

    A name with a slash is taken as it is, others are searched in PATH of ``env``.

    Raises:
        ProgramNotFound: exit code 127.
        ProgramNotExecutable: there is one, but it can't be executed: exit code 126.
    """
    if "/" in name:
        code = _problem(name)
        if code in (ENOENT, ENOTDIR):
            raise not_found(name, detail=f"stat {name}: {posix.strerror(code).lower()}")
        if code:
            raise not_executable(name, code)
        return name
    refused = 0
    for directory in search_path(env).split(":"):
        path = f"{directory or '.'}/{name}"
        code = _problem(path)
        if not code:
            return path
        if code == EACCES:
            refused = code
    if refused:
        raise not_executable(name, refused)
    raise not_found(name)


def search_path(env: tuple[str, ...]) -> str:
    """PATH of an environment; the last one counts, as for a program that looks it up."""
    for item in reversed(env):
        if item.startswith("PATH="):
            return item[5:]
    return DEFAULT_PATH


def _problem(path: str) -> int:
    """0 if it can be executed, else why not."""
    try:
        info = posix.stat(path)
    except OSError as error:
        return error.errno or ENOENT
    if S_ISDIR(info.st_mode):
        return EISDIR
    return 0 if posix.access(path, posix.X_OK, effective_ids=True) else EACCES


def enter_directory(path: str) -> None:
    """Change into the working directory and prove that it lies inside our root.

    A path through ``/proc/self/fd`` or another process may lead outside, from where ``..``
    leads everywhere (CVE-2024-21626).

    Raises:
        PermissionDenied: it does.
    """
    try:
        posix.chdir(path)
    except OSError as error:
        # as runc words it: dockerd searches for it
        step = f'chdir to cwd ("{path}") set in config.json failed'
        raise failed(step, error, path=path) from None
    try:
        inside = posix.getcwd().startswith("/")
    except FileNotFoundError:  # how libc reports what the kernel calls "(unreachable)"
        inside = False
    if not inside:
        posix.chdir("/")
        raise PermissionDenied(
            "the working directory lies outside of the container",
            step=f'chdir to cwd ("{path}") set in config.json failed',
            path=path,
        )
