"""Who a process is: names resolved against the files of the container (passwd(5), group(5))."""

from __future__ import annotations

import posix

from corten.errors import InvalidArgument
from corten.kernel.files import AT_FDCWD, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from corten.kernel.paths import fsdecode
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.spec.records import User

_LIMIT = 8 << 20  # bytes of a passwd file that are looked at
_MAX_ID = 0xFFFFFFFE


class Identity(Struct):
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str  # "/" where the container's passwd does not say


def resolve(user: User, root: int = AT_FDCWD) -> Identity:
    """The numbers to become.

    Arguments:
        user: of the configuration; its names in Docker's syntax.
        root: directory of the container's root; the current root otherwise.
    Raises:
        InvalidArgument: a name that the container does not know.
    """
    passwd = _table(root, "/etc/passwd", 7)
    if user.username is None:
        home = next((row[5] for row in passwd if row[2] == str(user.uid)), "")
        return Identity(uid=user.uid, gid=user.gid, groups=user.additional_gids, home=home or "/")
    groups = _table(root, "/etc/group", 4)
    return _by_name(user, user.username, passwd, groups)


def _by_name(user: User, text: str, passwd: list[list[str]], groups: list[list[str]]) -> Identity:
    name, _, group = text.partition(":")
    row = _user_row(name or "0", passwd)
    if row is None:
        uid, gid, login, home = _number(name, "user", "passwd"), 0, "", "/"
    else:
        uid, gid, login, home = int(row[2]), int(row[3]), row[0], row[5] or "/"
    own: list[int] = []
    if group:
        gid = _group(group, groups)
    policy = user.groups_policy or ("strict" if group else "merge")
    if login and policy == "merge":
        own = [int(g[2]) for g in groups if login in g[3].split(",")]
    # Without the primary group among them, a process could leave it (setgid) and so escape
    # permissions that deny the group something (CVE-2022-36109).
    supplementary = [gid]
    named = [_group(entry, groups) for entry in user.group_names]
    for item in (*own, *user.additional_gids, *named):
        if item not in supplementary:
            supplementary.append(item)
    return Identity(uid=uid, gid=gid, groups=tuple(supplementary), home=home)


def _user_row(name: str, passwd: list[list[str]]) -> list[str] | None:
    """The line of a login name, else of a number."""
    for row in passwd:
        if row[0] == name:
            return row
    if name.isdigit():
        for row in passwd:
            if int(row[2]) == int(name):
                return row
    return None


def _group(name: str, groups: list[list[str]]) -> int:
    for row in groups:
        if row[0] == name:
            return int(row[2])
    return _number(name, "group", "group")


def _number(name: str, what: str, file: str) -> int:
    if name == "" and what == "user":
        return 0
    if not (name.isascii() and name.isdigit()):
        raise InvalidArgument(
            f"unable to find {what} {name}: no matching entries in {file} file",
            step="resolve user",
            path=f"/etc/{file}",
            hint="name one that the image has, or give its number",
        )
    if int(name) > _MAX_ID:
        raise InvalidArgument(f"{what} id {name} is out of range", step="resolve user")
    return int(name)


def _table(root: int, path: str, columns: int) -> list[list[str]]:
    """The well-formed lines of a table of the container; none where it has no such file."""
    try:
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        if root == AT_FDCWD:
            fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        else:
            fd = openat2(root, path, posix.O_RDONLY | posix.O_NONBLOCK, resolve=resolve)
    except OSError:
        return []
    try:
        data = _read(fd)
    except OSError:  # a directory
        return []
    finally:
        posix.close(fd)
    rows = [line.split(":") for line in fsdecode(data).splitlines()]
    return [row for row in rows if len(row) >= columns and _has_numbers(row, columns)]


def _has_numbers(row: list[str], columns: int) -> bool:
    """Whether the ids are numbers: uid and gid of a passwd line, gid of a group's."""
    wanted = row[2:4] if columns == 7 else row[2:3]
    return all(item.isascii() and item.isdigit() and int(item) <= _MAX_ID for item in wanted)


def _read(fd: int) -> bytes:
    data = bytearray()
    while len(data) < _LIMIT and (piece := posix.read(fd, 65536)):
        data += piece
    return bytes(data)
