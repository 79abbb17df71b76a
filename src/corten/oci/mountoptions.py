"""The words of mount options (mount(8), runtime-spec "Linux mount options") as flags."""

from __future__ import annotations

import posix
from errno import EPERM

from corten.kernel import mounts as k
from corten.oci.trees import ST_NOSYMFOLLOW
from corten.spec._struct import Struct, replace

TYPE_CHECKING = False

# word: (flag, whether the word clears it)
FLAGS: dict[str, tuple[int, bool]] = {
    "async": (k.MS_SYNCHRONOUS, True),
    "atime": (k.MS_NOATIME, True),
    "bind": (k.MS_BIND, False),
    "defaults": (0, False),
    "dev": (k.MS_NODEV, True),
    "diratime": (k.MS_NODIRATIME, True),
    "dirsync": (k.MS_DIRSYNC, False),
    "exec": (k.MS_NOEXEC, True),
    "iversion": (k.MS_I_VERSION, False),
    "lazytime": (k.MS_LAZYTIME, False),
    "loud": (k.MS_SILENT, True),
    "mand": (k.MS_MANDLOCK, False),
    "noatime": (k.MS_NOATIME, False),
    "nodev": (k.MS_NODEV, False),
    "nodiratime": (k.MS_NODIRATIME, False),
    "noexec": (k.MS_NOEXEC, False),
    "noiversion": (k.MS_I_VERSION, True),
    "nolazytime": (k.MS_LAZYTIME, True),
    "nomand": (k.MS_MANDLOCK, True),
    "norelatime": (k.MS_RELATIME, True),
    "nostrictatime": (k.MS_STRICTATIME, True),
    "nosuid": (k.MS_NOSUID, False),
    "nosymfollow": (k.MS_NOSYMFOLLOW, False),
    "rbind": (k.MS_BIND | k.MS_REC, False),
    "relatime": (k.MS_RELATIME, False),
    "remount": (k.MS_REMOUNT, False),
    "ro": (k.MS_RDONLY, False),
    "rw": (k.MS_RDONLY, True),
    "silent": (k.MS_SILENT, False),
    "strictatime": (k.MS_STRICTATIME, False),
    "suid": (k.MS_NOSUID, True),
    "symfollow": (k.MS_NOSYMFOLLOW, True),
    "sync": (k.MS_SYNCHRONOUS, False),
}
PROPAGATION: dict[str, int] = {
    "private": k.MS_PRIVATE,
    "rprivate": k.MS_PRIVATE | k.MS_REC,
    "shared": k.MS_SHARED,
    "rshared": k.MS_SHARED | k.MS_REC,
    "slave": k.MS_SLAVE,
    "rslave": k.MS_SLAVE | k.MS_REC,
    "unbindable": k.MS_UNBINDABLE,
    "runbindable": k.MS_UNBINDABLE | k.MS_REC,
}
# word: (bits to set, bits to clear) of mount_setattr(2), for the whole tree
RECURSIVE: dict[str, tuple[int, int]] = {
    "rro": (k.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, k.MOUNT_ATTR_RDONLY),
    "rnosuid": (k.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, k.MOUNT_ATTR_NOSUID),
    "rnodev": (k.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, k.MOUNT_ATTR_NODEV),
    "rnoexec": (k.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, k.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (k.MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, k.MOUNT_ATTR_NODIRATIME),
    "rnosymfollow": (k.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, k.MOUNT_ATTR_NOSYMFOLLOW),
    "rrelatime": (k.MOUNT_ATTR_RELATIME, k.MOUNT_ATTR__ATIME),
    "rnorelatime": (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME),
    "rnoatime": (k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR__ATIME),
    "ratime": (k.MOUNT_ATTR_RELATIME, k.MOUNT_ATTR__ATIME),
    "rstrictatime": (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME),
    "rnostrictatime": (k.MOUNT_ATTR_RELATIME, k.MOUNT_ATTR__ATIME),
}
SPECIAL = ("idmap", "ridmap", "tmpcopyup")

_ATTRIBUTES = (
    (k.MS_RDONLY, k.MOUNT_ATTR_RDONLY),
    (k.MS_NOSUID, k.MOUNT_ATTR_NOSUID),
    (k.MS_NODEV, k.MOUNT_ATTR_NODEV),
    (k.MS_NOEXEC, k.MOUNT_ATTR_NOEXEC),
    (k.MS_NODIRATIME, k.MOUNT_ATTR_NODIRATIME),
    (k.MS_NOSYMFOLLOW, k.MOUNT_ATTR_NOSYMFOLLOW),
)
_ATIME = (
    (k.MS_NOATIME, k.MOUNT_ATTR_NOATIME),
    (k.MS_STRICTATIME, k.MOUNT_ATTR_STRICTATIME),
    (k.MS_RELATIME, k.MOUNT_ATTR_RELATIME),
)
_ANY_ATIME = k.MS_NOATIME | k.MS_STRICTATIME | k.MS_RELATIME | k.MS_NODIRATIME
# What a mount has by statvfs(3), and what of it is locked in another user namespace.
_STATUS = (
    (posix.ST_RDONLY, k.MOUNT_ATTR_RDONLY),
    (posix.ST_NOSUID, k.MOUNT_ATTR_NOSUID),
    (posix.ST_NODEV, k.MOUNT_ATTR_NODEV),
    (posix.ST_NOEXEC, k.MOUNT_ATTR_NOEXEC),
    (posix.ST_NODIRATIME, k.MOUNT_ATTR_NODIRATIME),
    (ST_NOSYMFOLLOW, k.MOUNT_ATTR_NOSYMFOLLOW),
)
_ATIME_MASK = k.MOUNT_ATTR__ATIME | k.MOUNT_ATTR_NODIRATIME
_ALL = sum([attribute for _, attribute in _ATTRIBUTES]) | k.MOUNT_ATTR__ATIME
_WORDS = {
    k.MOUNT_ATTR_RDONLY: "ro",
    k.MOUNT_ATTR_NOSUID: "nosuid",
    k.MOUNT_ATTR_NODEV: "nodev",
    k.MOUNT_ATTR_NOEXEC: "noexec",
}


class Options(Struct):
    """Parsed options of one mount.

    Fields:
        flags: ``MS_*`` to set; cleared: ``MS_*`` that a word took away explicitly.
        propagation: ``MS_SHARED`` … with or without ``MS_REC``, in order.
        recursive_set, recursive_clear: ``MOUNT_ATTR_*`` for the whole tree.
        data: what the file system itself understands.
        special: words of :data:`SPECIAL`.
    """

    flags: int = 0
    cleared: int = 0
    propagation: tuple[int, ...] = ()
    recursive_set: int = 0
    recursive_clear: int = 0
    data: str = ""
    special: tuple[str, ...] = ()

    def attributes(self) -> tuple[int, int]:
        """``(set, clear)`` of mount_setattr(2) for the mount itself."""
        to_set = to_clear = 0
        for flag, attribute in _ATTRIBUTES:
            if self.flags & flag:
                to_set |= attribute
            elif self.cleared & flag:
                to_clear |= attribute
        for flag, attribute in _ATIME:
            if self.flags & flag:
                return to_set | attribute, to_clear | k.MOUNT_ATTR__ATIME
        return to_set, to_clear

    def bind_attributes(self) -> tuple[int, int]:
        """The same for a bind mount: with any flag given it has the flags given and no others
        of its source's, as with runc and unlike mount(8). How access times are kept stays the
        source's, unless a flag is about them."""
        if not self.flags & ~(k.MS_BIND | k.MS_REC | k.MS_REMOUNT) and not self.cleared:
            return 0, 0
        to_set = sum([attribute for flag, attribute in _ATTRIBUTES if self.flags & flag])
        to_clear = _ALL
        if self.flags & _ANY_ATIME:
            to_set |= self._atime()
        else:
            to_clear &= ~_ATIME_MASK
        return to_set, to_clear & ~(to_set & ~k.MOUNT_ATTR__ATIME)

    def _atime(self) -> int:
        """As mount(2) takes the words: strict wins, and without any it is relative."""
        if self.flags & k.MS_STRICTATIME:
            return k.MOUNT_ATTR_STRICTATIME
        return k.MOUNT_ATTR_NOATIME if self.flags & k.MS_NOATIME else k.MOUNT_ATTR_RELATIME

    def locked_attributes(self, have: int) -> tuple[int, int]:
        """:meth:`bind_attributes` where the source's flags are locked, in another user namespace
        than the one that mounted it: what nobody asked for stays.

        Arguments:
            have: the source's attributes (:func:`attributes_of`).
        Raises:
            PermissionError: a word takes away what the source has, or changes how it keeps
                access times.
        """
        to_set, to_clear = self.bind_attributes()
        for flag, attribute in _ATTRIBUTES:
            if self.cleared & flag and attribute & have and attribute in _WORDS:
                raise _locked(f"cannot clear locked flag {_WORDS[attribute]}")
        asked = to_set & _ATIME_MASK
        if to_clear & k.MOUNT_ATTR__ATIME and asked != have & _ATIME_MASK:
            raise _locked("cannot change locked atime flags")
        keep = have & sum(_WORDS)
        return to_set | keep, to_clear & ~keep


def _locked(text: str) -> PermissionError:
    return PermissionError(EPERM, f"{text}: {posix.strerror(EPERM)}")


def attributes_of(status: int) -> int:
    """``MOUNT_ATTR_*`` of a mount, from its ``f_flag`` of statvfs(3)."""
    found = sum([attribute for bit, attribute in _STATUS if status & bit])
    if status & posix.ST_NOATIME:
        return found | k.MOUNT_ATTR_NOATIME
    relative = status & posix.ST_RELATIME
    return found | (k.MOUNT_ATTR_RELATIME if relative else k.MOUNT_ATTR_STRICTATIME)


def parse(words: tuple[str, ...]) -> Options:
    """Sort the words; later ones win, as with mount(8). Unknown words are data."""
    flags = cleared = recursive_set = recursive_clear = 0
    propagation: list[int] = []
    data: list[str] = []
    special: list[str] = []
    for word in words:
        if word in FLAGS:
            flag, clears = FLAGS[word]
            flags, cleared = (
                (flags & ~flag, cleared | flag) if clears else (flags | flag, cleared & ~flag)
            )
        elif word in PROPAGATION:
            propagation.append(PROPAGATION[word])
        elif word in RECURSIVE:
            to_set, to_clear = RECURSIVE[word]
            recursive_set = recursive_set & ~to_clear | to_set
            recursive_clear = recursive_clear & ~to_set | to_clear
        elif word in SPECIAL:
            special.append(word)
        elif word:
            data.append(word)
    return Options(
        flags=flags,
        cleared=cleared,
        propagation=tuple(propagation),
        recursive_set=recursive_set,
        recursive_clear=recursive_clear,
        data=",".join(data),
        special=tuple(special),
    )


def with_data(options: Options, data: str) -> Options:
    """The same with other options for the file system itself."""
    return replace(options, data=data)
