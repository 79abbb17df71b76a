"""``_ping``, ``version``, ``info``, ``auth``."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
from aiohttp import web

from corten.dockerapi import hostfacts, times, versions
from corten.dockerapi.call import TENANT, Call, json
from corten.engine.types import Auth

INDEX = "https://index.docker.io/v1/"  # Docker Hub's name in config.json


async def ping(call: Call) -> web.Response:
    """``GET`` and ``HEAD /_ping``: what is spoken here, in headers."""
    headers = {
        "Builder-Version": "1",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
        "Swarm": "inactive",
    }
    return web.Response(text="OK", headers=headers)


async def version(call: Call) -> web.Response:
    """``GET /version``."""
    kernel = os.uname().release
    config = call.config
    details = {
        "ApiVersion": str(versions.MAXIMUM),
        "Arch": hostfacts.architecture(),
        "Experimental": "false",
        "GitCommit": config.git_commit,
        "KernelVersion": kernel,
        "MinAPIVersion": str(versions.MINIMUM),
        "Os": "linux",
    }
    component = {"Name": "Engine", "Version": config.version, "Details": details}
    return json(
        {
            "Platform": {"Name": f"Corten {config.version}"},
            "Components": [component],
            "Version": config.version,
            "ApiVersion": str(versions.MAXIMUM),
            "MinAPIVersion": str(versions.MINIMUM),
            "GitCommit": config.git_commit,
            "GoVersion": "",  # there is none; clients read the field
            "Os": "linux",
            "Arch": hostfacts.architecture(),
            "KernelVersion": kernel,
        }
    )


async def info(call: Call) -> web.Response:
    """``GET /info``."""
    facts = call.engine.info()
    return json(_daemon(call, facts) | _machine(facts) | _offers(facts))


def _daemon(call: Call, facts: dict[str, Any]) -> dict[str, Any]:
    containers = call.engine.list_containers(TENANT)
    states = [container.state.status for container in containers]
    running = sum(state in ("running", "restarting") for state in states)
    paused = states.count("paused")
    return {
        "ID": str(facts.get("id", "")),
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(call.engine.list_images(TENANT)),
        "Driver": str(facts.get("snapshotter", "overlay")),
        "DriverStatus": [],
        "DockerRootDir": call.config.root_dir,
        "ServerVersion": call.config.version,
        "Debug": False,
        "ExperimentalBuild": False,
        "LiveRestoreEnabled": True,  # containers outlive the daemon, always
        "SystemTime": times.rfc3339(time.time_ns()),
        "Name": os.uname().nodename,
        "Labels": [],
        "Warnings": list(facts.get("warnings", ())) or None,
        "NFd": -1,
        "NGoroutines": -1,
        "NEventsListener": 0,
    }


def _machine(facts: dict[str, Any]) -> dict[str, Any]:
    system, release = hostfacts.operating_system()
    limits = dict.fromkeys(
        ("MemoryLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit"), True
    )
    return limits | {
        "SwapLimit": bool(facts.get("swap_limit", True)),
        "OomKillDisable": str(facts.get("cgroup_version", "1")) == "1",
        "IPv4Forwarding": hostfacts.ip_forwarding(),
        "CgroupDriver": str(facts.get("cgroup_driver", "cgroupfs")),
        "CgroupVersion": str(facts.get("cgroup_version", "1")),
        "KernelVersion": os.uname().release,
        "OperatingSystem": system,
        "OSVersion": release,
        "OSType": "linux",
        "Architecture": os.uname().machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": hostfacts.memory_total(),
    }


def _offers(facts: dict[str, Any]) -> dict[str, Any]:
    runtimes = facts.get("runtimes") or {"native": {"path": "corten-oci"}}
    networks = ["bridge", "host", "null"]
    return {
        "Plugins": {
            "Volume": ["local"],
            "Network": networks,
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        "Runtimes": runtimes,
        "DefaultRuntime": str(facts.get("default_runtime", "native")),
        "SecurityOptions": list(facts.get("security_options", ("name=seccomp,profile=builtin",))),
        "LoggingDriver": "json-file",
        "IndexServerAddress": INDEX,
        "RegistryConfig": {
            "InsecureRegistryCIDRs": [],
            "IndexConfigs": {
                "docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}
            },
            "Mirrors": [],
        },
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
    }


class _Auth(msgspec.Struct):
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    serveraddress: str | None = None


async def auth(call: Call) -> web.Response:
    """``POST /auth``: whether a registry takes the credentials."""
    given = await call.body(_Auth)
    server = given.serveraddress or ""
    await call.engine.check_login(
        "docker.io" if server in ("", INDEX) else server,
        Auth(
            username=given.username or "",
            password=given.password or "",
            identity_token=given.identitytoken or "",
        ),
    )
    return json({"Status": "Login Succeeded", "IdentityToken": ""})


async def plugins(call: Call) -> web.Response:
    """``GET /plugins``: there are none."""
    return json([])
