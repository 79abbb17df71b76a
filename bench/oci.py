"""Rows of the runtime alone: ``corten-oci`` against runc and crun, with and without a filter,
several at once, in little memory; and the native runtime behind a launcher, without a daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.launched import Launched
from bench.peers import Peers, on_tmpfs, output, quiet
from bench.runtimes import PROGRAMS, bundles, runner
from bench.sampling import Row, interleave
from corten.oci.seccomp.program import DEFAULT_DIRECTORY

AT_ONCE = 8
RUNC, CRUN = "/usr/sbin/runc", "/usr/bin/crun"
_STEPS = 10  # of the search for the smallest limit, KiB 128 to 8192 in steps of a half


def uncached(action: Callable[[], None]) -> Callable[[], None]:
    def bare() -> None:
        shutil.rmtree(DEFAULT_DIRECTORY, ignore_errors=True)
        action()

    return bare


def at_once(action: Callable[[], object]) -> Callable[[], None]:
    """Eight of it, until the last has ended."""

    def all_of_them() -> None:
        threads = [threading.Thread(target=action) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return all_of_them


def smallest(program: str, bundle: Path, root: Path) -> float:
    """KiB of the smallest memory limit with which the bundle's program runs."""
    path = bundle / "config.json"
    plain = path.read_text()
    action = runner(program, bundle, root)
    best = 0.0
    size = 8192
    try:
        for _ in range(_STEPS):
            config = json.loads(plain)
            config["linux"]["resources"]["memory"] = {"limit": size * 1024}
            path.write_text(json.dumps(config))
            action()
            best, size = size, size // 2
            if size < 64:
                break
    except RuntimeError:
        pass  # so much is too little
    finally:
        path.write_text(plain)
    return best


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    with_profile, plain = bundles(peers, "oci")
    roots = peers.base / "oci-roots"
    on_tmpfs(roots)
    runc_name = output("runc", "--version").splitlines()[0]
    crun_name = output("crun", "--version").splitlines()[0]
    program = str(PROGRAMS / "corten-oci")
    runc = runner(RUNC, with_profile, roots / "runc")
    crun = runner(CRUN, with_profile, roots / "crun")
    ours = runner(program, with_profile, roots / "ours")
    name = "corten-oci run, fresh interpreter, seccomp filter not cached"
    yield interleave(Row(name, "ms", runc_name, 0.6), uncached(ours), runc, samples)
    name = "corten-oci run, fresh interpreter, without seccomp"
    bare, runc_bare = runner(program, plain, roots / "ours"), runner(RUNC, plain, roots / "runc")
    yield interleave(Row(name, "ms", runc_name, 0.65), bare, runc_bare, samples)
    with Launched(roots, with_profile) as launched:
        name = "native runtime behind a launcher: create, start, wait, delete"
        yield interleave(Row(name, "ms", runc_name, 0.2), launched.cycle, runc, samples)
        yield interleave(Row(name, "ms", crun_name, 0.35), launched.cycle, crun, samples)
        name = f"the same, {AT_ONCE} at once"
        yield interleave(Row(name, "ms", crun_name, 0.4), launched.cycles, at_once(crun), samples)
        yield exec_row(launched, with_profile, roots, samples, runc_name)
    name = "smallest memory limit with which /bin/true runs"
    row = Row(name, "KiB", crun_name, 1.0, limit=512)
    row.ours = [smallest(program, with_profile, roots / "ours") for _ in range(5)]
    row.theirs = [smallest(CRUN, with_profile, roots / "crun") for _ in range(5)]
    yield row


def exec_row(launched: Launched, bundle: Path, roots: Path, samples: int, version: str) -> Row:
    """In a container with 50 mounts."""
    path = bundle / "config.json"
    plain = path.read_text()
    config = json.loads(plain)
    config["process"]["args"] = ["/bin/sleep", "100000"]
    for number in range(50):
        config["mounts"].append(
            {"destination": f"/mnt{number}", "type": "tmpfs", "source": "tmpfs"}
        )
    path.write_text(json.dumps(config))
    words = [RUNC, "--root", str(roots / "runc")]
    nothing = subprocess.DEVNULL  # the container keeps what runc was given
    subprocess.run(
        [*words, "run", "--detach", "--bundle", str(bundle), "bench-exec"],
        stdin=nothing, stdout=nothing, stderr=nothing, check=True,
    )  # fmt: skip
    try:
        with launched.running(config) as execute:
            row = Row("exec in a container with 50 mounts, from the monitor", "ms", version, 0.2)
            theirs = [*words, "exec", "bench-exec", "/bin/true"]
            return interleave(row, execute, lambda: quiet(theirs), samples)
    finally:
        quiet([*words, "delete", "--force", "bench-exec"])
        path.write_text(plain)
