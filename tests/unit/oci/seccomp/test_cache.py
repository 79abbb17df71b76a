"""The cache: what it trusts, and that a hit loads nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corten.errors import InvalidArgument
from corten.oci.seccomp import cache
from tests.unit.kernel.isolated import run

DOCUMENT = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read", "exit_group"], "action": "SCMP_ACT_ALLOW"}],
}


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    cache.program_for(DOCUMENT, str(tmp_path / "a/b"))
    (path,) = (tmp_path / "a/b").iterdir()
    return path


def hit(entry: Path) -> bool:
    return cache.read(str(entry), entry.name.removesuffix(".bpf")) is not None


def test_a_second_time_needs_no_library(tmp_path: Path) -> None:
    out = run(
        f"""
        import posix
        from corten.oci.seccomp.cache import program_for
        document, directory = {DOCUMENT!r}, {str(tmp_path)!r}
        child = posix.fork()
        if child == 0:
            program_for(document, directory)
            posix._exit(0)
        posix.waitpid(child, 0)
        first = program_for(document, directory)
        print(any("libseccomp" in name or "compiler" in name for name in sys.modules))
        print("libseccomp" in open("/proc/self/maps").read())
        print(first.code == program_for(document, "").code)
        """
    )
    assert out.split() == ["False", "False", "True"]


def test_an_entry_is_private(entry: Path) -> None:
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700
    assert hit(entry)


def test_damage_is_compiled_anew(entry: Path) -> None:
    good = entry.read_bytes()
    for bad in (good[:-8], good[:-1] + bytes([good[-1] ^ 1]), b"", good[: len(good) // 2], b"x\n"):
        entry.write_bytes(bad)
        assert not hit(entry)
        program = cache.program_for(DOCUMENT, str(entry.parent))
        assert good.endswith(program.code)
        assert hit(entry)


def test_another_documents_program_is_refused(entry: Path) -> None:
    other = cache.program_for({"defaultAction": "SCMP_ACT_LOG"}, str(entry.parent))
    (second,) = [path for path in entry.parent.iterdir() if path != entry]
    second.replace(entry)
    assert not hit(entry)
    assert cache.program_for(DOCUMENT, str(entry.parent)).code != other.code


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_what_others_can_write_is_refused(entry: Path, mode: int) -> None:
    entry.chmod(mode)
    assert not hit(entry)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_others_own_is_refused(entry: Path) -> None:
    os.chown(entry, 12345, 0)
    assert not hit(entry)


def test_links_and_fifos_are_refused(entry: Path) -> None:
    aside = entry.with_suffix(".aside")
    entry.rename(aside)
    entry.symlink_to(aside)
    assert not hit(entry)
    entry.unlink()
    os.mkfifo(entry)
    assert not hit(entry)


def test_a_new_library_compiles_anew(entry: Path) -> None:
    lines = entry.read_bytes().split(b"\n", 5)
    size, _, mtime = lines[4].partition(b" ")
    lines[4] = size + b" " + str(int(mtime) + 1).encode()
    entry.write_bytes(b"\n".join(lines))
    assert not hit(entry)
    lines[3], lines[4] = b"/gone/libseccomp.so", b"1 1"
    entry.write_bytes(b"\n".join(lines))
    assert hit(entry)


def test_a_directory_that_can_not_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cache.program_for(DOCUMENT, str(tmp_path / "file/cache")).code


def test_flags() -> None:
    def flags(**more: object) -> int:
        return cache.program_for({**DOCUMENT, **more}, "").flags

    assert flags() == 4  # SPEC_ALLOW
    assert flags(flags=[]) == 0
    assert flags(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]) == 2
    with pytest.raises(InvalidArgument, match="flag 'X'"):
        flags(flags=["X"])


def test_notification_needs_a_listener() -> None:
    rule = {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    with pytest.raises(InvalidArgument, match="listenerPath"):
        cache.program_for(document, "")
    document |= {"listenerPath": "/run/agent", "listenerMetadata": "x"}
    program = cache.program_for(document, "")
    assert program.flags & 8
    assert (program.listener_path, program.listener_metadata) == ("/run/agent", "x")
    with pytest.raises(InvalidArgument, match="default action"):
        cache.program_for({"defaultAction": "SCMP_ACT_NOTIFY"}, "")


def test_the_kernel_takes_and_obeys_it(tmp_path: Path) -> None:
    out = run(
        f"""
        import posix
        from corten.kernel import creds, seccomp
        from corten.oci.seccomp import cache, profile
        program = cache.program_for(profile.resolve_default(["CAP_CHOWN"]), {str(tmp_path)!r})
        creds.set_no_new_privs()
        seccomp.load_filter(program.code, program.flags)
        from corten.kernel import namespaces, process
        for call in (lambda: namespaces.unshare(namespaces.CLONE_NEWUSER), process.clone3):
            try:
                call()
            except OSError as error:
                print(error.errno)
        child = posix.fork()
        if child == 0:
            posix._exit(5)
        print(posix.waitstatus_to_exitcode(posix.waitpid(child, 0)[1]))
        """
    )
    assert out.split() == ["1", "38", "5"]
