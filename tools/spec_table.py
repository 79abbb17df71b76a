#!/usr/bin/env python3
"""Write docs/runtime-spec.md: each field of a runtime configuration, and what is done with it.

The code says it itself. A configuration with every field (``SAMPLE``) goes through everything
that reads one; a dictionary that notes what is asked of it tells which fields were read. A field
that is refused is tried alone, and the refusal is quoted. Which tests show a field is found by
its name in their sources. tests/unit/tools holds the sample against the specification's schema.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "src"))

from corten.cgroups import devices, settings_v1, settings_v2  # noqa: E402
from corten.errors import CortenError  # noqa: E402
from corten.oci import mountoptions  # noqa: E402
from corten.oci.plan import PlanOptions, compile_plan  # noqa: E402
from corten.spec.runtime import VERSION, parse  # noqa: E402

TARGET = REPOSITORY / "docs/runtime-spec.md"
EVIDENCE = ("tests/runtime", "tests/unit/oci", "tests/unit/spec", "tests/unit/cgroups")
_BLOCK = [{"major": 8, "minor": 0, "rate": 1000}]
_MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]
_HOOK = [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]
_OFFSET = {"secs": 1, "nanosecs": 1}
_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")

SAMPLE: dict[str, Any] = {
    "ociVersion": VERSION,
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "box",
    "domainname": "example",
    "annotations": {"org.example.key": "value"},
    "process": {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": 1, "gid": 1, "umask": 18, "additionalGids": [5]},
        "args": ["true"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "capabilities": {name: ["CAP_CHOWN"] for name in _SETS},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}],
        "noNewPrivileges": True,
        "apparmorProfile": "profile",
        "selinuxLabel": "label",
        "oomScoreAdj": 100,
        "scheduler": {
            "policy": "SCHED_DEADLINE", "nice": 0, "priority": 0,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 1024, "deadline": 2048, "period": 4096,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "0", "final": "0"},
    },
    "mounts": [
        {"destination": "/data", "source": "/srv", "type": "bind", "options": ["bind"],
         "uidMappings": _MAP, "gidMappings": _MAP},
    ],
    "hooks": {
        name: _HOOK
        for name in ("prestart", "createRuntime", "createContainer", "startContainer",
                     "poststart", "poststop")
    },
    "linux": {
        "namespaces": [
            {"type": kind, "path": ""}
            for kind in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
        ],
        "uidMappings": _MAP,
        "gidMappings": _MAP,
        "timeOffsets": {"boottime": _OFFSET, "monotonic": _OFFSET},
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 5, "fileMode": 438,
                     "uid": 0, "gid": 0}],
        "netDevices": {"eth9": {"name": "eth0"}},
        "cgroupsPath": "/box",
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "rootfsPropagation": "slave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "label",
        "personality": {"domain": "LINUX", "flags": []},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "intelRdt": {"closID": "id", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20",
                     "schemata": ["L3:0=f"], "enableMonitoring": True, "enableCMT": True,
                     "enableMBM": True},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent",
            "listenerMetadata": "text",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            ],
        },
        "resources": {
            "unified": {"memory.high": "1000000"},
            "devices": [{"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"}],
            "pids": {"limit": 10},
            "memory": {"limit": 1000000, "reservation": 1, "swap": 2000000, "kernel": 1,
                       "kernelTCP": 1, "swappiness": 1, "disableOOMKiller": True,
                       "useHierarchy": True, "checkBeforeUpdate": True},
            "cpu": {"shares": 2, "quota": 1000, "burst": 1, "period": 1000,
                    "realtimeRuntime": 1, "realtimePeriod": 1, "cpus": "0", "mems": "0",
                    "idle": 0},
            "blockIO": {
                "weight": 10, "leafWeight": 10,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 10}],
                "throttleReadBpsDevice": _BLOCK, "throttleWriteBpsDevice": _BLOCK,
                "throttleReadIOPSDevice": _BLOCK, "throttleWriteIOPSDevice": _BLOCK,
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
            "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
            "rdma": {"mlx": {"hcaHandles": 1, "hcaObjects": 1}},
        },
    },
}  # fmt: skip
# Objects whose keys are the user's.
MAPS = ("annotations", "linux.sysctl", "linux.netDevices", "linux.resources.unified",
        "linux.resources.rdma")  # fmt: skip
# What is read elsewhere than where a configuration is compiled, and where.
ELSEWHERE = {
    "linux.resources.memory.checkBeforeUpdate": "checked before the limit is written",
    "linux.resources.unified": "files of cgroup v2",
}


class Noting(dict[str, Any]):
    """A dictionary that notes in ``seen`` what is asked of it, by its path."""

    def __init__(self, data: dict[str, Any], path: str, seen: set[str]) -> None:
        self.path = path
        self.seen = seen
        super().__init__({key: self._inner(key, value) for key, value in data.items()})

    def _inner(self, key: str, value: Any) -> Any:
        path = join(self.path, key)
        if isinstance(value, dict):
            return Noting(value, path, self.seen)
        if isinstance(value, list):
            return [Noting(v, f"{path}[]", self.seen) if isinstance(v, dict) else v for v in value]
        return value

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(join(self.path, key))
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.seen.add(join(self.path, key))
        return super().__getitem__(key)


def join(path: str, key: str) -> str:
    """The path of a member; keys that are the user's count as one."""
    if path in MAPS:
        key = "*"
    return f"{path}.{key}" if path else key


def fields(value: Any, path: str = "") -> list[str]:
    """The paths of all fields of a document, objects and lists before what they hold."""
    found: list[str] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            here = join(path, key)
            if not here.endswith(".*"):
                found.append(here)
            found += fields(inner, here)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            found += [name for name in fields(item, f"{path}[]") if name not in found]
    return list(dict.fromkeys(found))


def refusals() -> dict[str, str]:
    """Fields of ``linux`` that the parser refuses by name."""
    found = {}
    linux = SAMPLE["linux"]
    for name in linux:
        alone = {"ociVersion": VERSION, "linux": {name: linux[name]}}
        try:
            parse(alone)
        except CortenError as error:
            if error.code == "unimplemented":
                found[f"linux.{name}"] = str(error).partition(" (")[0]
    return found


def read_fields() -> set[str]:
    """What the code asked of the sample."""
    refused = {name.partition(".")[2] for name in refusals()}
    linux = {key: value for key, value in SAMPLE["linux"].items() if key not in refused}
    seen: set[str] = set()
    config = Noting({**SAMPLE, "linux": linux}, "", seen)
    options = PlanOptions(container_id="sample", seccomp_cache="")
    compile_plan(config, bundle="/bundle", options=options)
    resources = dict.__getitem__(dict.__getitem__(config, "linux"), "resources")
    v1 = {key: value for key, value in dict.items(resources) if key != "unified"}
    settings_v1.plan(v1)
    settings_v2.plan({"unified": resources.get("unified")})
    devices.normalise(dict.__getitem__(resources, "devices"))
    return seen


def evidence() -> dict[str, str]:
    """Source of every test file, by its path."""
    paths = [p for folder in EVIDENCE for p in sorted((REPOSITORY / folder).rglob("test_*.py"))]
    return {str(path.relative_to(REPOSITORY)): path.read_text() for path in paths}


def shown_by(field: str, sources: dict[str, str]) -> str:
    """Up to two test files that name the field and what it is in."""
    names = [name.removesuffix("[]") for name in field.split(".") if name not in ("linux", "*")]
    wanted = [f'"{name}"' for name in names[-2:] if name not in ("process", "resources")]
    found = [path for path, text in sources.items() if all(name in text for name in wanted)]
    return ", ".join([f"`{path.removeprefix('tests/')}`" for path in found[:2]])


def table() -> str:
    """The document."""
    refused, seen, sources = refusals(), read_fields(), evidence()
    lines = [
        "# The runtime specification, field by field",
        "",
        f"runtime-spec {VERSION} for Linux, as `corten-oci` and the native runtime implement it.",
        "Written by `tools/spec_table.py`, which asks the code; a unit test holds it up to date.",
        "`ignored` fields are read by nobody, as the specification demands of unknown ones.",
        "",
        "| field | done | tests that name it |",
        "|---|---|---|",
    ]
    for field in fields(SAMPLE):
        top = ".".join(field.split(".")[:2])
        if top in refused:
            done = f"refused: {refused[top]}"
        elif any(name == field or name.startswith((f"{field}.", f"{field}[")) for name in seen):
            done = "yes"
        else:
            done = ELSEWHERE.get(field, "ignored")
        lines.append(f"| `{field}` | {done} | {shown_by(field, sources)} |")
    words = [*mountoptions.FLAGS, *mountoptions.PROPAGATION, *mountoptions.RECURSIVE]
    lines += [
        "",
        "## Mount options",
        "",
        " ".join([f"`{word}`" for word in sorted([*words, *mountoptions.SPECIAL])]),
        "",
        "Other words go to the file system.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where the file is stale")
    args = parser.parse_args()
    text = table()
    if args.check:
        return 0 if TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
