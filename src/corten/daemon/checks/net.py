"""The network: a program tries, in a namespace of its own, what a bridge network needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corten.daemon.checks.finding import Area, Finding
from corten.errors import CortenError
from corten.kernel.libnftables import Nftables
from corten.networks.foreign import places
from corten.networks.host import IP_FORWARD

_BOOT = "import sys; sys.path[:] = {path!r}; from corten.daemon.checks.netprobe import main; main()"
_PROBED = {
    "network namespaces": ("needed", "no network of a container's own", "CONFIG_NET_NS"),
    "bridges": ("needed", "no bridge networks, so no published ports", "the module bridge"),
    "veth": ("needed", "no bridge networks, so no published ports", "the module veth"),
    "nftables": ("needed", "no published ports, no way out", "libnftables1, the module nf_tables"),
    "IPv6": ("nice", "no networks with --ipv6", "a kernel without ipv6.disable=1"),
}
_DEADLINE = 20.0  # seconds; modules may have to be loaded
_PLUGINS = ("/opt/cni/bin", "/usr/lib/cni")


def check() -> list[Finding]:
    """The findings; blocks while the program runs, tens of milliseconds."""
    area = Area("network")
    _probed(area)
    _forwarding(area)
    _firewalls(area)
    _names(area, Path("/etc/resolv.conf"))
    _plugins(area)
    return area.findings


def _probed(area: Area) -> None:
    answers: dict[str, str | None] = dict.fromkeys(_PROBED)
    if os.geteuid() == 0:
        answers |= _run()
    for name, (need, without, what) in _PROBED.items():
        answer = answers[name]
        ok = None if answer is None else not answer
        found = "only root can tell" if os.geteuid() else answer or ""
        area.add(
            name, ok, found, need="needed" if need == "needed" else "nice", without=without,
            remedy=f"install or load: {what}",
        )  # fmt: skip


def _run() -> dict[str, str | None]:
    """What the program said: by check, why not; empty: it works."""
    argv = [sys.executable, "-IS", "-c", _BOOT.format(path=sys.path)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DEADLINE,
            check=False, env={"PATH": os.defpath},
        )  # fmt: skip
        found: dict[str, str | None] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return found


def _forwarding(area: Area) -> None:
    try:
        on = Path(IP_FORWARD).read_text("ascii").strip() == "1"
    except OSError:
        area.add("forwarding", None, "not shown")
        return
    writable = os.access(IP_FORWARD, os.W_OK)
    said = "on" if on else "off; switched on with the first network, off again by uninstall"
    area.add(
        "forwarding", on or writable or (None if os.geteuid() else False), said, need="needed",
        without="containers reach only each other", remedy="sysctl net.ipv4.ip_forward=1",
    )  # fmt: skip


def _firewalls(area: Area, open_nft: Callable[[], Any] = Nftables) -> None:
    """Never missing: it tells what else decides about packets."""
    if os.geteuid():
        area.add("other firewalls", None, "only root can tell")
        return
    try:
        nft = open_nft()
        try:
            found = places(json.loads(nft.run("list chains", json=True)), "corten")
        finally:
            nft.close()
    except (CortenError, ValueError):
        return  # that nftables does not work is told above
    said = ", ".join(place.describe() for place in found)
    text = f"drop what is forwarded; one accept is added in {said}" if said else "none drops"
    area.add("other firewalls", True, text)


def _names(area: Area, file: Path) -> None:
    try:
        rows = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        rows = []
    servers = [
        row.split()[1] for row in rows if row.startswith("nameserver") and len(row.split()) > 1
    ]
    area.add(
        "name servers", bool(servers), ", ".join(servers),
        without="containers resolve no names of the outside",
        remedy=f"a line `nameserver ADDRESS` in {file}, or --dns",
    )  # fmt: skip


def _plugins(area: Area) -> None:
    found = next((place for place in _PLUGINS if shutil.which("bridge", path=place)), "")
    area.add(
        "CNI plugins", bool(found), found, without="no pods (CRI)",
        remedy="apt install containernetworking-plugins",
    )  # fmt: skip
