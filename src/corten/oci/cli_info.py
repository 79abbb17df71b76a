"""``spec`` and ``features``."""

from __future__ import annotations

import posix
from errno import EEXIST

from corten import __version__
from corten.cgroups.detect import hierarchies
from corten.errors import AlreadyExists, CortenError
from corten.kernel import creds
from corten.kernel.limits import MEMORY_POLICIES, MEMORY_POLICY_FLAGS
from corten.kernel.paths import exists, fsencode
from corten.oci import mountoptions
from corten.oci.cliargs import SWITCH, VALUE, parse
from corten.oci.failure import failed
from corten.oci.template import default_config, rootless
from corten.spec import jsonlite
from corten.spec.runtime import HOOK_KINDS, NAMESPACE_TYPES, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.cli import Settings

SPEC = {"bundle": VALUE, "rootless": SWITCH, "help": SWITCH}
FEATURES = {"help": SWITCH}
_SECCOMP_ACTIONS = (
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
)
_SECCOMP_OPERATORS = (
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
)
# config-linux.md; with the kernel that brought the last
_SECCOMP_FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)
_WAIT_KILLABLE_SINCE = (5, 19)
_SECCOMP_ARCHITECTURES = ("SCMP_ARCH_AARCH64", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64")


def spec(settings: Settings, argv: list[str]) -> int:
    """Write a config.json to start from."""
    args = parse(argv, SPEC, short={"b": "bundle", "h": "help"})
    config = default_config()
    if not _cgroup_features()["v2"] or _cgroup_features()["v1"]:
        # as runc: a view of one's own is the habit on v2 alone
        linux = config["linux"]
        kept = [entry for entry in linux["namespaces"] if entry["type"] != "cgroup"]
        config = {**config, "linux": {**linux, "namespaces": kept}}
    if args.switch("rootless"):
        config = rootless(config, posix.geteuid(), posix.getegid())
    bundle = args.text("bundle")
    path = f"{bundle}/config.json" if bundle else "config.json"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    try:
        fd = posix.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == EEXIST:
            raise AlreadyExists(f"File {path} exists. Remove it first") from None
        raise failed("write config.json", error, path=path) from None
    try:
        posix.write(fd, fsencode(jsonlite.pretty(config, "\t") + "\n"))
    finally:
        posix.close(fd)
    return 0


def features(settings: Settings, argv: list[str]) -> int:
    """Print what this runtime offers (features.md)."""
    parse(argv, FEATURES, short={"h": "help"})
    posix.write(1, fsencode(jsonlite.pretty(feature_document()) + "\n"))
    return 0


def feature_document() -> dict[str, Any]:
    """features.md and features-linux.md, from the tables that the code itself uses."""
    words = (
        *mountoptions.FLAGS,
        *mountoptions.PROPAGATION,
        *mountoptions.RECURSIVE,
        *mountoptions.SPECIAL,
    )
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": list(HOOK_KINDS),
        "mountOptions": sorted(words),
        "linux": {
            "namespaces": sorted(NAMESPACE_TYPES),
            "capabilities": list(creds.CAPABILITIES),
            "cgroup": _cgroup_features(),
            "seccomp": {
                "enabled": True,
                "actions": list(_SECCOMP_ACTIONS),
                "operators": list(_SECCOMP_OPERATORS),
                "archs": list(_SECCOMP_ARCHITECTURES),
                "knownFlags": list(_SECCOMP_FLAGS),
                "supportedFlags": _supported_flags(),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {
                "modes": sorted(MEMORY_POLICIES),
                "flags": sorted(MEMORY_POLICY_FLAGS),
            },
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": False},
        },
        "annotations": {"org.corten.version": __version__},
        "potentiallyUnsafeConfigAnnotations": ["run.oci.keep_original_groups"],
    }


def _supported_flags() -> list[str]:
    """Those that this kernel knows."""
    major, minor = [part.split("-")[0] for part in posix.uname().release.split(".")[:2]]
    waits = (int(major), int(minor)) >= _WAIT_KILLABLE_SINCE
    return list(_SECCOMP_FLAGS if waits else _SECCOMP_FLAGS[:-1])


def _cgroup_features() -> dict[str, bool]:
    try:
        kind = hierarchies().kind
    except CortenError:
        kind = ""
    return {
        "v1": kind in ("v1", "hybrid"),
        "v2": kind in ("v2", "hybrid"),
        "systemd": exists("/run/systemd/system"),
        "systemdUser": False,
        "rdma": True,
    }
