"""Other people's firewalls: a table of our own can't overrule a drop in somebody else's chain.

Where a chain at the forward hook drops by policy, one accept for our bridges goes to the
place that its owner provides (DOCKER-USER, ufw's route rules, firewalld's zone ``trusted``),
else to the head of that chain. What gets through there still has to pass our own table, so
nothing is open that was not published. The rules bear a comment, by which they are found
again and removed. All of this blocks.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from corten.errors import CortenError

_log = logging.getLogger(__name__)
_OWNERS = (
    ("DOCKER-USER", "dockerd"),
    ("ufw-user-forward", "ufw"),
    ("ufw6-user-forward", "ufw"),
)
_LEGACY = (("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy"))
_ZONE = "trusted"
_HANDLE = re.compile(r"# handle (\d+)$")
_PROGRAM = 10.0  # seconds


class Nft(Protocol):
    def run(self, commands: str, *, json: bool = False, handles: bool = False) -> str: ...


class Place(NamedTuple):
    """Where an accept belongs.

    Fields:
        owner: ``dockerd``, ``ufw``, ``firewalld``; empty: nobody that we know.
        family, table, chain: nftables'; for firewalld the table alone counts.
    """

    owner: str
    family: str
    table: str
    chain: str

    def describe(self) -> str:
        who = f" ({self.owner})" if self.owner else ""
        return f"{self.family} {self.table} {self.chain}{who}"


def places(listing: dict[str, Any], own: str) -> list[Place]:
    """Which chains would drop what is forwarded to and from our bridges. No I/O.

    Arguments:
        listing: the answer to ``list chains``, as JSON.
        own: the name of our table; those of other daemons of ours look like it.
    """
    chains = [entry["chain"] for entry in listing.get("nftables", ()) if "chain" in entry]
    names: dict[tuple[str, str], set[str]] = {}
    for chain in chains:
        names.setdefault((chain["family"], chain["table"]), set()).add(chain["name"])
    found = []
    for chain in chains:
        family, table = chain["family"], chain["table"]
        if chain.get("hook") != "forward" or table == own:
            continue
        if table == "firewalld":
            found.append(Place("firewalld", family, table, chain["name"]))
        elif chain.get("policy") == "drop":
            owned = [(n, o) for n, o in _OWNERS if n in names[family, table]]
            name, owner = owned[0] if owned else (chain["name"], "")
            found.append(Place(owner, family, table, name))
    return list(dict.fromkeys(found))


def rules(place: Place, patterns: Sequence[str], comment: str) -> list[str]:
    """What belongs at a place, in nft's words. No I/O."""
    return [
        f'{side} "{pattern}" counter accept comment "{comment}"'
        for pattern in patterns
        for side in ("iifname", "oifname")
    ]


class Foreign:
    """What one daemon has added to other people's firewalls.

    Arguments:
        nft: the library.
        prefix: of the daemon's links.
    """

    def __init__(self, nft: Nft, prefix: str) -> None:
        self._nft = nft
        self._prefix = prefix
        self._comment = f"{prefix} containers"
        self._zoned: set[str] = set()
        self._said: set[Place] = set()

    def settle(self, bridges: Iterable[str]) -> list[Place]:
        """Have our bridges accepted wherever somebody else would drop; idempotent.

        Returns:
            the places that have an accept of ours now.
        """
        names = sorted(bridges)
        accepted = []
        for place in self.look():
            try:
                self._accept(place, names)
            except (CortenError, OSError, subprocess.SubprocessError) as error:
                _log.warning("%s drops what our bridges forward: %s", place.describe(), error)
                continue
            accepted.append(place)
            if place not in self._said:
                self._said.add(place)
                _log.info("accepted in %s, which drops what is forwarded", place.describe())
        return accepted

    def look(self) -> list[Place]:
        """The places, without a change."""
        listing = json.loads(self._nft.run("list chains", json=True))
        return [*places(listing, self._prefix), *_legacy_places()]

    def _accept(self, place: Place, names: list[str]) -> None:
        if place.owner == "firewalld":
            self._zone(names)
        elif place.family.endswith("-legacy"):
            self._accept_legacy(place, self._patterns(names))
        else:
            self._accept_nft(place, self._patterns(names))

    def _patterns(self, names: list[str]) -> list[str]:
        """All of ours by one pattern, and bridges that the user named."""
        return [f"{self._prefix}*", *(n for n in names if not n.startswith(self._prefix))]

    def _accept_nft(self, place: Place, patterns: list[str]) -> None:
        where = f"{place.family} {place.table} {place.chain}"
        wanted = rules(place, patterns, self._comment)
        there = self._ours(place)
        if sorted(text for _, text in there) == sorted(_plain(rule) for rule in wanted):
            return
        commands = [f"delete rule {where} handle {handle}" for handle, _ in there]
        commands += [f"insert rule {where} {rule}" for rule in wanted]
        self._nft.run("\n".join(commands))

    def _ours(self, place: Place) -> list[tuple[str, str]]:
        """Handles and texts of our rules at a place."""
        where = f"{place.family} {place.table} {place.chain}"
        found = []
        for line in self._nft.run(f"list chain {where}", handles=True).splitlines():
            handle = _HANDLE.search(line)
            if f'comment "{self._comment}"' in line and handle:
                found.append((handle[1], _plain(line)))
        return found

    # the old tables -----------------------------------------------------------------------
    def _accept_legacy(self, place: Place, patterns: list[str]) -> None:
        there = _run(place.family, "-S", place.chain).splitlines()
        for pattern in patterns:
            for side in ("-i", "-o"):
                rule = [side, pattern.replace("*", "+"), *self._legacy_tail()]
                if not any(
                    f"{side} {rule[1]} " in line and self._comment in line for line in there
                ):
                    _run(place.family, "-w", "-I", place.chain, *rule)

    def _legacy_tail(self) -> list[str]:
        return ["-m", "comment", "--comment", self._comment, "-j", "ACCEPT"]

    # firewalld ----------------------------------------------------------------------------
    def _zone(self, names: list[str]) -> None:
        """Put the bridges into the zone that accepts; gone with firewalld's next reload, and
        then put back by the next check."""
        for name in names:
            asked = _run(
                "firewall-cmd", f"--zone={_ZONE}", f"--query-interface={name}", check=False
            )
            if asked.strip() != "yes":
                _run("firewall-cmd", f"--zone={_ZONE}", f"--change-interface={name}")
                self._zoned.add(name)

    # the end ------------------------------------------------------------------------------
    def remove(self, bridges: Iterable[str] = ()) -> None:
        """Take back whatever is there of ours; what can't be is logged."""
        self._said.clear()
        for name in {*self._zoned, *bridges}:
            if any(place.owner == "firewalld" for place in self.look()):
                _run("firewall-cmd", f"--zone={_ZONE}", f"--remove-interface={name}", check=False)
        self._zoned.clear()
        for place in self.look():
            if place.family.endswith("-legacy"):
                self._remove_legacy(place)
            elif place.owner != "firewalld":
                where = f"{place.family} {place.table} {place.chain}"
                gone = [f"delete rule {where} handle {handle}" for handle, _ in self._ours(place)]
                if gone:
                    self._nft.run("\n".join(gone))

    def _remove_legacy(self, place: Place) -> None:
        for line in _run(place.family, "-S", place.chain).splitlines():
            if f'"{self._comment}"' in line:
                words = line.replace(f'"{self._comment}"', "\0").split()
                _run(place.family, "-w", "-D", *(w.replace("\0", self._comment) for w in words[1:]))


def _plain(rule: str) -> str:
    """A rule without what changes: its handle and its counter."""
    text = _HANDLE.sub("", rule).strip()
    return re.sub(r"counter (packets \d+ bytes \d+ )?", "", text)


def _legacy_places() -> list[Place]:
    """Tables of the old kind are no nftables'; they are there only if a program made them."""
    found = []
    for name, program in _LEGACY:
        try:
            if "filter" not in Path("/proc/net", name).read_text().split():
                continue
            listing = _run(program, "-S")
        except (OSError, CortenError, subprocess.SubprocessError):
            continue
        if "-P FORWARD DROP" in listing:
            owned = [(n, o) for n, o in _OWNERS if f"-N {n}\n" in listing]
            chain, owner = owned[0] if owned else ("FORWARD", "")
            found.append(Place(owner, program, "filter", chain))
    return found


def _run(*words: str, check: bool = True) -> str:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=_PROGRAM,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
