from __future__ import annotations

import json
import posix
from pathlib import Path

import pytest

from corten.kernel import mounts as k
from corten.oci.mountoptions import FLAGS, PROPAGATION, RECURSIVE, attributes_of, parse


def test_words_become_flags_and_data() -> None:
    options = parse(("nosuid", "noexec", "mode=755", "size=64k", "rslave"))
    assert options.flags == k.MS_NOSUID | k.MS_NOEXEC
    assert options.data == "mode=755,size=64k"
    assert options.propagation == (k.MS_SLAVE | k.MS_REC,)


def test_later_words_win() -> None:
    assert parse(("ro", "rw")).flags == 0
    assert parse(("ro", "rw")).cleared == k.MS_RDONLY
    assert parse(("rw", "ro")).flags == k.MS_RDONLY
    assert parse(("rw", "ro")).cleared == 0


def test_recursive_words() -> None:
    options = parse(("rro", "rnoatime", "rnosuid", "rsuid"))
    assert options.recursive_set == k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOATIME
    assert options.recursive_clear == k.MOUNT_ATTR__ATIME | k.MOUNT_ATTR_NOSUID


def test_attributes_of_the_mount_itself() -> None:
    assert parse(("bind", "ro", "exec", "noatime")).attributes() == (
        k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOATIME,
        k.MOUNT_ATTR_NOEXEC | k.MOUNT_ATTR__ATIME,
    )
    assert parse(("rbind",)).attributes() == (0, 0)


ALL = sum(
    [k.MOUNT_ATTR_RDONLY, k.MOUNT_ATTR_NOSUID, k.MOUNT_ATTR_NODEV, k.MOUNT_ATTR_NOEXEC,
     k.MOUNT_ATTR_NOSYMFOLLOW]
)  # fmt: skip
ATIME = k.MOUNT_ATTR__ATIME | k.MOUNT_ATTR_NODIRATIME


def test_a_bind_without_flags_changes_nothing() -> None:
    assert parse(("rbind", "rprivate")).bind_attributes() == (0, 0)


def test_a_bind_with_a_flag_takes_all_others_away_but_access_times() -> None:
    assert parse(("bind", "ro")).bind_attributes() == (
        k.MOUNT_ATTR_RDONLY,
        ALL & ~k.MOUNT_ATTR_RDONLY,
    )
    assert parse(("bind", "exec")).bind_attributes() == (0, ALL)
    assert parse(("bind", "atime")).bind_attributes() == (0, ALL)


@pytest.mark.parametrize(
    ("words", "attribute"),
    [
        (("noatime",), k.MOUNT_ATTR_NOATIME),
        (("noatime", "strictatime"), k.MOUNT_ATTR_STRICTATIME),
        (("relatime",), k.MOUNT_ATTR_RELATIME),
    ],
)
def test_a_bind_with_access_times(words: tuple[str, ...], attribute: int) -> None:
    assert parse(("bind", *words)).bind_attributes() == (attribute, ALL | ATIME)


def test_nodiratime_alone_is_relative() -> None:
    to_set, to_clear = parse(("bind", "nodiratime")).bind_attributes()
    assert (to_set, to_clear & ATIME) == (k.MOUNT_ATTR_NODIRATIME, k.MOUNT_ATTR__ATIME)


def test_locked_flags_stay_unless_a_word_is_against_them() -> None:
    have = attributes_of(posix.ST_NOSUID | posix.ST_NOATIME)
    to_set, to_clear = parse(("bind", "ro")).locked_attributes(have)
    assert to_set == k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID
    assert not to_clear & (k.MOUNT_ATTR_NOSUID | ATIME)
    for word in ("suid", "relatime", "nodiratime"):
        with pytest.raises(PermissionError, match="locked"):
            parse(("bind", word)).locked_attributes(have)
    parse(("bind", "atime", "noatime")).locked_attributes(have)


@pytest.mark.parametrize("word", ["idmap", "tmpcopyup"])
def test_special_words_are_no_data(word: str) -> None:
    assert parse((word,)).special == (word,)
    assert parse((word,)).data == ""


def test_every_word_of_the_specification_is_known() -> None:
    # config.md, "Linux mount options"; the schema of the features document has no list
    words = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime"
    words += " nodev nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid"
    words += " private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime"
    words += " rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro"
    words += " rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave"
    words += " strictatime suid sync unbindable nosymfollow symfollow mand nomand rnodev"
    known = {*FLAGS, *PROPAGATION, *RECURSIVE}
    assert set(words.split()) - known == set()


def test_shared_specification_is_parsed() -> None:
    folder = Path(__file__).resolve().parents[4] / "shared/spec/oci-runtime/test/config"
    if not folder.exists():
        pytest.skip("../shared/spec is not here")
    from corten.spec.runtime import parse as parse_config

    good = sorted((folder / "good").glob("*.json"))
    assert good
    for path in good:
        document = json.loads(path.read_text())
        if "linux" not in document or {"netDevices", "intelRdt", "memoryPolicy"} & set(
            document["linux"]
        ):
            continue
        parse_config({**document, "ociVersion": "1.0.0"})  # some are older
