#!/usr/bin/python3
"""Install, upgrade and remove Corten on a machine. Standard library only; see ``--help``.

Layout: ``PREFIX/VERSION/{lib,bin}``, the link ``PREFIX/current``, links in ``/usr/local/bin``.
The interpreter is always ``/usr/bin/python3``: a user's own below ``/root`` could not be
entered by other users. ``corten`` and ``corten-oci`` are files with the shebang
``#!/usr/bin/python3 -IS``, not entry points: they are on the hot path.
"""

from __future__ import annotations

import argparse
import compileall
import grp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"

# What the programs need at run time; `tests` adds what the suites need.
RUNTIME_PACKAGES = (
    "ca-certificates",
    "containernetworking-plugins",
    "iproute2",
    "kmod",
    "libnftables1",
    "libseccomp2",
    "nftables",
    "python3-pip",
)

PROGRAMS = {
    # name: (interpreter's flags, module, function)
    "corten": ("-IS", "corten.cli.thin", "main"),
    "corten-oci": ("-IS", "corten.oci.cli", "main"),
    "cortend": ("-I", "corten.daemon.main", "main"),
}

# `corten-oci` reads its code from one file, where that is there (corten/oci/onefile.py).
ONE_FILE = """#!{python} {flags}
import marshal, posix, sys
sys.path[:0] = {lib!r}
try:
    name = "/__pycache__/corten-oci.%s.bin" % sys.implementation.cache_tag
    fd = posix.open("{lib[0]}/corten" + name, posix.O_RDONLY | posix.O_CLOEXEC)
    code, head = marshal.loads(posix.read(fd, 65536))
except (OSError, ValueError, EOFError, TypeError):
    from {module} import {function}
else:
    onefile = sys.modules["corten.oci.onefile"] = type(sys)("corten.oci.onefile")
    exec(code, onefile.__dict__)
    {function} = onefile.entry(head, fd, "{lib[0]}/corten")
sys.exit({function}())
"""

STUB = """#!{python} {flags}
import sys
sys.path[:0] = {lib!r}
from {module} import {function}
sys.exit({function}())
"""


def say(text: str) -> None:
    print(f"corten: {text}", flush=True)


def run(*argv: str, quiet: bool = False, check: bool = True) -> int:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode and check:
        if quiet:
            sys.stderr.write((done.stdout or "")[-4000:])
        raise SystemExit(f"corten: {' '.join(argv)} failed with {done.returncode}")
    return done.returncode


# --- system packages --------------------------------------------------------------------


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Debian packages of ``names`` that are not installed."""
    missing = []
    for name in names:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Status}", name],
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.stdout.endswith("ok installed"):
            missing.append(name)
    return missing


class NoServices:
    """While packages are installed no service of theirs is started: the peers' daemons
    (dockerd, containerd, nginx) are started by the tests that need them."""

    path = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.ours = not self.path.exists()
        if self.ours:
            self.path.write_text("#!/bin/sh\nexit 101\n")
            self.path.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.path.unlink(missing_ok=True)


def install_packages(names: tuple[str, ...], record: Path | None = None) -> None:
    """``apt-get install`` of what is missing; ``record`` collects what was added."""
    missing = missing_packages(names)
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise SystemExit(f"corten: please install {', '.join(missing)}: no apt-get here")
    say(f"installing {' '.join(missing)}")
    before = installed_packages()
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    with NoServices():
        run("apt-get", "update", "-qq", quiet=True, check=False)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, quiet=True)
    if record is not None:
        old = set(record.read_text().split()) if record.exists() else set()
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("\n".join(sorted(old | (installed_packages() - before))) + "\n")


def installed_packages() -> set[str]:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (row.split() for row in done.stdout.splitlines())
    return {row[0] for row in rows if len(row) > 1 and row[1].startswith("ii")}


# --- the files --------------------------------------------------------------------------


def version() -> str:
    text = (SOURCE / "src/corten/__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def pip_target(target: Path, lock: Path) -> None:
    """The locked dependencies, wheels only, hashes checked, into one directory."""
    environment = dict(os.environ, PIP_ROOT_USER_ACTION="ignore", PIP_DISABLE_PIP_VERSION_CHECK="1")
    argv = [
        PYTHON, "-m", "pip", "install", "-q", "--require-hashes", "--only-binary", ":all:",
        "--no-compile", "--no-warn-script-location", "--target", str(target), "-r", str(lock),
    ]  # fmt: skip
    done = subprocess.run(argv, env=environment, check=False)
    if done.returncode:
        raise SystemExit("corten: the dependencies could not be installed; is PyPI reachable?")


def write_program(path: Path, name: str, libs: tuple[Path, ...]) -> None:
    flags, module, function = PROGRAMS[name]
    lib = [str(directory) for directory in libs]
    stub = ONE_FILE if name == "corten-oci" else STUB
    path.write_text(
        stub.format(python=PYTHON, flags=flags, lib=lib, module=module, function=function)
    )
    path.chmod(0o755)


def write_programs(directory: Path, *libs: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        write_program(directory / name, name, libs)


def build_tree(prefix: Path, *, reuse: Path | None = None) -> Path:
    """Make ``prefix/VERSION`` whole under a temporary name, then rename it."""
    final = prefix / version()
    prefix.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=prefix))
    try:
        staging.chmod(0o755)
        lib = staging / "lib"
        if reuse is not None:
            shutil.copytree(reuse, lib, symlinks=True)
        else:
            say("installing the locked dependencies from PyPI")
            pip_target(lib, SOURCE / "requirements/runtime.txt")
        shutil.rmtree(lib / "corten", ignore_errors=True)
        shutil.copytree(
            SOURCE / "src/corten", lib / "corten", ignore=shutil.ignore_patterns("__pycache__")
        )
        if reuse is None:
            compile_tree(lib, final / "lib")
        # The launcher runs without docstrings and asserts (-OO), hence the second time.
        compile_tree(lib, final / "lib", "corten", optimize=(0, 2))
        write_one_file(lib)
        write_programs(staging / "bin", final / "lib")
        share = staging / "share"
        shutil.copytree(SOURCE / "packaging", share)
        write_manual(lib, share / "man")
        readable(staging)
        if final.exists():
            old = prefix / f".old-{version()}-{time.time_ns()}"
            final.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        staging.rename(final)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return final


def readable(tree: Path) -> None:
    """Whatever the umask and the modes of the source are: members of the group ``corten`` run
    these files, so everyone may read them."""
    for directory, _, names in os.walk(tree):
        os.chmod(directory, 0o755)
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o111 else 0o644)


def compile_tree(
    lib: Path, final: Path, package: str = "", optimize: tuple[int, ...] = (0,)
) -> None:
    """Byte code beside every source below ``lib/package``: a start from source costs 5 ms."""
    for level in optimize:
        compileall.compile_dir(
            str(lib / package), quiet=2, workers=0, stripdir=str(lib), prependdir=str(final),
            optimize=level,
        )  # fmt: skip


def write_one_file(lib: Path) -> None:
    """What `corten-oci` reads instead of all its modules; else its first command would write it."""
    code = "import sys; sys.path.insert(0, {!r}); from corten.oci.onefilewriter import main; main()"
    run(PYTHON, "-ISX", "no_debug_ranges", "-c", code.format(str(lib)))


def write_manual(lib: Path, directory: Path) -> None:
    """The man pages, from the commands that were just installed."""
    code = (
        f"import sys; sys.path[:0] = {[str(lib), str(SOURCE)]!r}; "
        f"from tools.manual import main; main(['man', {str(directory)!r}])"
    )
    run(PYTHON, "-IBSc", code)


def switch(prefix: Path, final: Path) -> None:
    """Point ``current`` at the new version, atomically."""
    temporary = prefix / ".current"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(final.name)
    temporary.rename(prefix / "current")


def link_programs(prefix: Path, bindir: Path) -> None:
    bindir.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        link = bindir / name
        if link.exists() and not link.is_symlink():
            raise SystemExit(f"corten: {link} exists and is not ours; move it away first")
        temporary = bindir / f".{name}.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(prefix / "current" / "bin" / name)
        temporary.rename(link)


def install_group() -> None:
    try:
        grp.getgrnam("corten")
    except KeyError:
        run("groupadd", "--system", "corten", quiet=True)


def has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def install_unit(prefix: Path, destdir: Path) -> None:
    unit = destdir / "etc/systemd/system/corten.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    text = (prefix / "current/share/corten.service").read_text()
    unit.write_text(text.replace("@BIN@", str(prefix / "current/bin")))
    if has_systemd() and destdir == Path("/"):
        run("systemctl", "daemon-reload", check=False)


def install_completions(prefix: Path, destdir: Path) -> None:
    for shell, directory, name in COMPLETIONS:
        source = prefix / "current/share/completion" / f"corten.{shell}"
        if source.exists():
            target = destdir / directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


COMPLETIONS = (
    ("bash", "usr/share/bash-completion/completions", "corten"),
    ("zsh", "usr/share/zsh/vendor-completions", "_corten"),
    ("fish", "usr/share/fish/vendor_completions.d", "corten.fish"),
)


MANUAL = "usr/local/share/man"


def install_manual(prefix: Path, destdir: Path) -> None:
    remove_manual(destdir)  # of commands that an older version had
    for page in sorted((prefix / "current/share/man").glob("man[18]/corten*.[18]")):
        target = destdir / MANUAL / page.parent.name / page.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)


def remove_manual(root: Path) -> None:
    for page in (root / MANUAL).glob("man[18]/corten*.[18]"):
        page.unlink()


def install(args: argparse.Namespace) -> None:
    need_root()
    prefix = Path(args.prefix)
    install_packages(RUNTIME_PACKAGES, record=prefix / ".apt-added")
    generate_stubs()
    final = build_tree(prefix, reuse=Path(args.deps) if args.deps else None)
    switch(prefix, final)
    link_programs(prefix, Path(args.bindir))
    install_group()
    install_unit(prefix, Path("/"))
    install_completions(prefix, Path("/"))
    install_manual(prefix, Path("/"))
    config = Path("/etc/corten/config.toml")
    if not config.exists():
        config.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(prefix / "current/share/config.toml", config)
    say(f"version {version()} is installed in {final}")
    restart_daemon(prefix)


def restart_daemon(prefix: Path) -> None:
    """A daemon that runs would go on serving from the files of the version before."""
    if run(str(prefix / "current/bin/cortend"), "--restart", check=False):
        raise SystemExit(
            "corten: the new version is installed, but the old daemon could not be replaced; "
            "containers go on\nHint: stop it, then start it: systemctl restart corten"
        )


def generate_stubs() -> None:
    """The gRPC stubs from our .proto, where they are not there yet."""
    run(PYTHON, str(SOURCE / "tools/gen_proto.py"), "--ensure")


def stage(args: argparse.Namespace) -> None:
    """The same files below ``--destdir``, for a guest's disk; nothing of this machine changes."""
    destdir = Path(args.destdir)
    generate_stubs()
    prefix = Path(args.prefix)
    real = destdir / prefix.relative_to("/")
    final = build_tree(real, reuse=Path(args.deps) if args.deps else None)
    write_programs(final / "bin", prefix / final.name / "lib")
    switch(real, final)
    for name in PROGRAMS:
        link = destdir / Path(args.bindir).relative_to("/") / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(prefix / "current/bin" / name)
    unit = destdir / "etc/systemd/system/corten.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    text = (real / "current/share/corten.service").read_text()
    unit.write_text(text.replace("@BIN@", str(prefix / "current/bin")))


# --- removal ----------------------------------------------------------------------------


def uninstall(args: argparse.Namespace) -> None:
    need_root()
    prefix = Path(args.prefix)
    program = prefix / "current/bin/cortend"
    if program.exists():
        say("stopping the daemon and its containers")
        if has_systemd():
            run("systemctl", "disable", "--now", "corten.service", quiet=True, check=False)
        if run(str(program), "--shutdown", *(["--purge"] if args.purge else []), check=False):
            # Without its files and sockets nobody could stop what still runs.
            raise SystemExit(
                "corten: the daemon and its containers could not be stopped, nothing was removed\n"
                f"Hint: stop them, then repeat; to remove the files regardless: rm {program}"
            )
    remove_links(prefix, Path(args.bindir))
    remove_system_files(Path("/"))
    if has_systemd():
        run("systemctl", "daemon-reload", check=False)
    added = remove_tree(prefix, purge=args.purge)
    if args.purge:
        purge(added)
    else:
        kept = f" and the packages {' '.join(added)}" if added else ""
        say(f"kept: /var/lib/corten, /etc/corten{kept}; PURGE=1 removes these too")
    say("removed")


def remove_links(prefix: Path, bindir: Path) -> None:
    for name in PROGRAMS:
        link = bindir / name
        if link.is_symlink() and str(prefix) in os.readlink(link):
            link.unlink()


def remove_system_files(root: Path) -> None:
    """What lies outside of the prefix and is no data, below ``root`` (``/``)."""
    (root / "etc/systemd/system/corten.service").unlink(missing_ok=True)
    for _shell, directory, name in COMPLETIONS:
        (root / directory / name).unlink(missing_ok=True)
    remove_manual(root)
    shutil.rmtree(root / "run/corten", ignore_errors=True)
    # corten-oci's: an empty directory for its overlay; a container of somebody's stays.
    for directory in ("run/corten-oci/.empty", "run/corten-oci"):
        try:
            (root / directory).rmdir()
        except OSError:
            break


def remove_tree(prefix: Path, *, purge: bool) -> list[str]:
    """Remove the prefix. The list of Debian packages that the installation brought is returned,
    and stays for a later purge unless this is one."""
    record = prefix / ".apt-added"
    added = record.read_text().split() if record.exists() else []
    if purge or not added:
        shutil.rmtree(prefix, ignore_errors=True)
        return added
    for entry in prefix.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry != record:
            entry.unlink()
    return added


def purge(packages: list[str]) -> None:
    for directory in ("/var/lib/corten", "/etc/corten", "/var/cache/corten"):
        shutil.rmtree(directory, ignore_errors=True)
    try:
        grp.getgrnam("corten")
        run("groupdel", "corten", quiet=True, check=False)
    except KeyError:
        pass
    still = sorted(set(packages) & installed_packages())
    if still:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        say(f"removing packages that the installation had brought: {' '.join(still)}")
        run("apt-get", "remove", "--purge", "-y", "-qq", *still, quiet=True, check=False)


def need_root() -> None:
    if os.geteuid() != 0:
        raise SystemExit("corten: this needs root: sudo make …")


# --- for the repository -----------------------------------------------------------------


def develop(args: argparse.Namespace) -> None:
    """``.dev/bin``: the programs, run from the working tree with the virtual environment's
    dependencies; what the tests and benchmarks use."""
    write_programs(Path(args.bindir), *[Path(lib).resolve() for lib in args.lib])


def packages(args: argparse.Namespace) -> None:
    need_root()
    install_packages(tuple(args.names))


def check(_args: argparse.Namespace) -> None:
    print(json.dumps({"version": version(), "missing": missing_packages(RUNTIME_PACKAGES)}))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="install.py", description=__doc__)
    top.add_argument("--prefix", default="/opt/corten")
    top.add_argument("--bindir", default="/usr/local/bin")
    top.add_argument("--deps", default="", help="a directory with the dependencies, not PyPI")
    commands = top.add_subparsers(required=True)
    for name, function in (("install", install), ("check", check)):
        commands.add_parser(name).set_defaults(function=function)
    sub = commands.add_parser("stage")
    sub.add_argument("--destdir", required=True)
    sub.set_defaults(function=stage)
    sub = commands.add_parser("uninstall")
    sub.add_argument("--purge", action="store_true")
    sub.set_defaults(function=uninstall)
    sub = commands.add_parser("packages")
    sub.add_argument("names", nargs="+")
    sub.set_defaults(function=packages)
    sub = commands.add_parser("develop")
    sub.add_argument("--lib", nargs="+", required=True)
    sub.set_defaults(function=develop)
    return top


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever interpreter runs this file
        raise SystemExit("corten: needs Python 3.11 or later as /usr/bin/python3")
    args = parser().parse_args()
    args.function(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
