"""Rows of the OCI runtime: ``corten-oci`` in a fresh interpreter, and the native runtime
through daemon and launcher, against runc and crun with the same seccomp profile."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.image import NAME
from bench.peers import Peers, on_tmpfs, output, quiet, runc_bundle
from bench.sampling import Row, interleave
from corten.oci.seccomp.profile import resolve_default

PROGRAMS = Path(__file__).resolve().parent.parent / ".dev/bin"
CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")


def runner(program: str, bundle: Path, root: Path) -> Callable[[], None]:
    """One ``run`` of the bundle; each has an id of its own."""
    numbers = itertools.count()

    def action() -> None:
        name = f"bench-{Path(program).name}-{next(numbers)}"
        quiet([program, "--root", str(root), "run", "--bundle", str(bundle), name])

    return action


def api_cycle(peers: Peers) -> Callable[[], None]:
    """Create, start, wait, remove of ``/bin/true`` with a network namespace of its own, from a
    warm client at the native socket."""
    from corten.client import Client

    client = Client(str(peers.ours().state / "corten.sock"))
    peers.stack.callback(client.close)

    def action() -> None:
        container = client.containers.create(NAME, ["/bin/true"], namespaces={"network": "none"})
        container.start()
        status = container.wait()
        container.remove()
        if status:
            raise RuntimeError(f"exit {status}")

    return action


def bundles(peers: Peers, name: str = "runtimes") -> tuple[Path, Path]:
    """(with Docker's seccomp profile, without any)."""
    profile = resolve_default(CAPABILITIES)
    base = peers.base / f"bundles-{name}"
    with_profile = runc_bundle(base / "seccomp", seccomp=json.loads(json.dumps(profile)))
    return with_profile, runc_bundle(base / "plain", seccomp=None)


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    with_profile, _plain = bundles(peers)
    roots = peers.base / "roots"
    on_tmpfs(roots)
    runc_name = output("runc", "--version").splitlines()[0]
    crun_name = output("crun", "--version").splitlines()[0]
    runc = runner("/usr/sbin/runc", with_profile, roots / "runc")
    crun = runner("/usr/bin/crun", with_profile, roots / "crun")
    ours = runner(str(PROGRAMS / "corten-oci"), with_profile, roots / "oci")
    name = "corten-oci run, fresh interpreter, seccomp filter cached"
    yield interleave(Row(name, "ms", runc_name, 0.5), ours, runc, samples)
    yield interleave(Row(name, "ms", crun_name, 0.65), ours, crun, samples)
    cycle = "create, start, wait, remove of /bin/true at corten.sock"
    yield interleave(Row(cycle, "ms", runc_name, 0.25), api_cycle(peers), runc, samples)


def import_rows(samples: int) -> Iterator[Row]:
    """What the held import lists cost over a bare interpreter."""
    for name, code, goal in (
        ("start and imports of the thin client", "corten.cli.thin", 1.5),
        ("start and imports of corten-oci", "corten.oci.cli", 2.0),
        ("start and imports of the launcher", "corten.launch.launcher", 3.0),
    ):
        source = str(Path(__file__).resolve().parent.parent / "src")
        program = f"import sys; sys.path.insert(0, {source!r}); import {code}"
        ours = python(program)
        yield interleave(
            Row(name, "ms", "python3 -I -S -c pass", goal), ours, python("pass"), samples
        )


def python(code: str) -> Callable[[], None]:
    return lambda: quiet(["/usr/bin/python3", "-I", "-S", "-c", code])
