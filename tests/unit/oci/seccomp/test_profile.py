"""Docker's default profile as data, and profiles resolved for a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corten.errors import InvalidArgument
from corten.oci.seccomp import default
from corten.oci.seccomp.profile import resolve, resolve_default

MOBY = Path(__file__).resolve().parents[5] / "shared/spec/moby-seccomp-default.json"
FEW = ["CAP_CHOWN", "CAP_KILL"]


def moby() -> dict[str, Any]:
    if not MOBY.exists():
        pytest.skip(f"not here: {MOBY}")
    document: dict[str, Any] = json.loads(MOBY.read_text())
    return document


def facts(document: dict[str, Any]) -> set[str]:
    """Each call of each rule with everything that qualifies it."""
    found = set()
    for rule in document["syscalls"]:
        rest = {
            key: value
            for key, value in rule.items()
            if key not in ("names", "comment") and value not in (None, [], {})
        }
        for group in ("includes", "excludes"):
            rest[group] = {key: value for key, value in rest.get(group, {}).items() if value}
        for name in rule["names"]:
            found.add(f"{name} {json.dumps(rest, sort_keys=True)}")
    return found


def test_the_table_says_what_dockers_says() -> None:
    assert facts(default.profile()) == facts(moby())
    ours, theirs = default.profile(), moby()
    for key in ("defaultAction", "defaultErrnoRet"):
        assert ours[key] == theirs[key]
    assert ours["archMap"] == [
        {**item, "subArchitectures": item["subArchitectures"] or []} for item in theirs["archMap"]
    ]


def allowed(document: dict[str, Any]) -> set[str]:
    return {
        name
        for rule in document["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }


def test_capabilities_open_calls() -> None:
    few, admin = resolve_default(FEW), resolve_default([*FEW, "CAP_SYS_ADMIN"])
    assert {"mount", "clone3", "unshare"} <= allowed(admin) - allowed(few)
    assert [r for r in few["syscalls"] if r["names"] == ["clone3"]] == [
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    ]
    assert "reboot" in allowed(resolve_default(["CAP_SYS_BOOT"]))


@pytest.mark.parametrize(
    ("machine", "architectures", "has", "lacks"),
    [
        ("x86_64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arch_prctl", "set_tls"),
        ("aarch64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], "set_tls", "arch_prctl"),
        ("s390x", ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"], "s390_runtime_instr", "arch_prctl"),
    ],
)
def test_architectures(machine: str, architectures: list[str], has: str, lacks: str) -> None:
    resolved = resolve_default(FEW, machine)
    assert resolved["architectures"] == architectures
    assert has in allowed(resolved)
    assert lacks not in allowed(resolved)
    clone = next(r for r in resolved["syscalls"] if r["names"] == ["clone"])
    assert clone["args"][0]["index"] == (1 if machine == "s390x" else 0)


def test_the_kernels_version_counts() -> None:
    rule = {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}}
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    assert resolve(profile, [], kernel="4.7.10")["syscalls"] == []
    assert len(resolve(profile, [], kernel="5.10.0-28-amd64")["syscalls"]) == 1
    assert len(resolve(profile, [], kernel="4.19-rc1")["syscalls"]) == 1


def test_a_profile_keeps_what_the_standard_has() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_KILL",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/x",
        "syscalls": [{"name": "read", "action": "SCMP_ACT_NOTIFY", "comment": "gone"}],
    }
    assert resolve(profile, []) == {
        **{key: profile[key] for key in ("defaultAction", "architectures", "flags")},
        "listenerPath": "/run/x",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}],
    }


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": "X", "architectures": ["A"], "archMap": [{"architecture": "A"}]},
        {"defaultAction": "X", "syscalls": [{"names": ["a"], "name": "b", "action": "Y"}]},
        {"defaultAction": "X", "syscalls": [{"names": [], "action": "Y"}]},
        {"defaultAction": "X", "syscalls": [{"names": ["a"]}]},
    ],
)
def test_contradictions_are_refused(profile: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="seccomp"):
        resolve(profile, [], machine="x86_64")
