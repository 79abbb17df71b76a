"""The words of mount options (mount(8), runtime-spec "Linux mount options") as flags."""

from __future__ import annotations

from corten.kernel import mounts as k
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
