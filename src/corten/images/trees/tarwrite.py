"""Members of a pax archive as bytes (pax(1), "pax Interchange Format"). No I/O."""

from __future__ import annotations

import os

from corten.images.unpack import tar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777
_KINDS: Final = {
    0o100000: tar.REGULAR,
    0o040000: tar.DIRECTORY,
    0o120000: tar.SYMLINK,
    0o020000: tar.CHARACTER,
    0o060000: tar.BLOCK_DEVICE,
    0o010000: tar.FIFO,
}


def kind_of(mode: int) -> bytes | None:
    """The member type of a file's mode; None for what archives don't hold (sockets)."""
    return _KINDS.get(mode & 0o170000)


def from_stat(name: bytes, stat: os.stat_result, kind: bytes, link: bytes = b"") -> tar.Entry:
    """A member for a file; only a regular one has data."""
    entry = tar.Entry(kind, name, stat.st_size if kind == tar.REGULAR else 0)
    entry.link = link
    entry.mode = stat.st_mode & 0o7777
    entry.uid, entry.gid = stat.st_uid, stat.st_gid
    entry.mtime = stat.st_mtime_ns
    if kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
        entry.major, entry.minor = os.major(stat.st_rdev), os.minor(stat.st_rdev)
    return entry


def header(entry: tar.Entry) -> bytes:
    """The header blocks of a member; its data, padded to blocks, follows."""
    name = entry.name
    if entry.kind == tar.DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    seconds = entry.mtime // 1_000_000_000  # whole ones: as docker's archives have them
    pax = [(b"SCHILY.xattr." + key, value) for key, value in sorted(entry.xattrs.items())]
    if len(name) > 100 or not _plain(name):
        pax.append((b"path", name))
    if len(entry.link) > 100 or not _plain(entry.link):
        pax.append((b"linkpath", entry.link))
    for key, value, limit in (
        (b"size", entry.size, _OCTAL_11),
        (b"uid", entry.uid, _OCTAL_7),
        (b"gid", entry.gid, _OCTAL_7),
    ):
        if value > limit:
            pax.append((key, b"%d" % value))
    if not 0 <= seconds <= _OCTAL_11:
        pax.append((b"mtime", b"%d" % seconds))
    block = _block(entry, name, seconds)
    return _extended(pax, name) + block if pax else block


def padding(size: int) -> bytes:
    """What fills the last block of a member's data."""
    return bytes(-size % BLOCK)


def _plain(text: bytes) -> bool:
    return text.isascii()


def _extended(pax: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    data = b"".join([_record(key, value) for key, value in pax])
    entry = tar.Entry(
        b"x", b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2][:80], len(data)
    )
    entry.mode = 0o644
    return _block(entry, entry.name, 0) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3  # space, equals sign, line end
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(entry: tar.Entry, name: bytes, seconds: int) -> bytes:
    fields = (
        name[:100].ljust(100, b"\0"),
        b"%07o\0" % (entry.mode & 0o7777),
        b"%07o\0" % min(entry.uid, _OCTAL_7),
        b"%07o\0" % min(entry.gid, _OCTAL_7),
        b"%011o\0" % min(entry.size, _OCTAL_11),
        b"%011o\0" % min(max(seconds, 0), _OCTAL_11),
        b"        ",
        entry.kind,
        entry.link[:100].ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0" % entry.major,
        b"%07o\0" % entry.minor,
        bytes(155 + 12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
