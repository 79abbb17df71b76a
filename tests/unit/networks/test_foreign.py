"""Where an accept belongs in other people's firewalls, and that it comes and goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corten.networks import foreign
from corten.networks.foreign import Foreign, Place, places, rules


def chain(family: str, table: str, name: str, **base: str) -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": name, **base}}


FORWARD = {"hook": "forward", "type": "filter"}
DOCKER = [
    chain("ip", "filter", "FORWARD", **FORWARD, policy="drop"),
    chain("ip", "filter", "DOCKER-USER"),
]
UFW = [
    chain("ip6", "filter", "FORWARD", **FORWARD, policy="drop"),
    chain("ip6", "filter", "ufw6-user-forward"),
]


def listing(*chains: dict[str, Any]) -> dict[str, Any]:
    return {"nftables": [{"metainfo": {}}, *chains]}


def test_the_owners_place_is_found() -> None:
    nobody = chain("inet", "mine", "fwd", **FORWARD, policy="drop")
    firewalld = chain("inet", "firewalld", "filter_FORWARD", **FORWARD, policy="accept")
    found = places(listing(*DOCKER, *UFW, nobody, firewalld), "corten")
    assert [(p.owner, p.family, p.chain) for p in found] == [
        ("dockerd", "ip", "DOCKER-USER"),
        ("ufw", "ip6", "ufw6-user-forward"),
        ("", "inet", "fwd"),
        ("firewalld", "inet", "filter_FORWARD"),
    ]


def test_who_drops_nothing_is_left_alone() -> None:
    open_ = chain("ip", "filter", "FORWARD", **FORWARD, policy="accept")
    inwards = chain("ip", "filter", "INPUT", hook="input", policy="drop")
    ours = chain("inet", "corten", "forward", **FORWARD, policy="drop")
    assert (
        places(listing(open_, inwards, ours, chain("ip", "filter", "DOCKER-USER")), "corten") == []
    )


class FakeNft:
    """Keeps the rules of one chain."""

    def __init__(self, *chains: dict[str, Any]) -> None:
        self.chains = chains
        self.rules: dict[int, str] = {}
        self.changes = 0

    def run(self, commands: str, *, json: bool = False, handles: bool = False) -> str:
        if commands == "list chains":
            return dumps(listing(*self.chains))
        if commands.startswith("list chain "):
            shown = [
                f"\t\t{rule.replace('counter', 'counter packets 3 bytes 9')} # handle {number}"
                for number, rule in self.rules.items()
            ]
            return "\n".join(shown)
        self.changes += 1
        for command in commands.splitlines():
            words = command.split(" ", 5)
            if words[0] == "delete":
                del self.rules[int(words[5].removeprefix("handle "))]
            else:
                self.rules[len(self.rules) + self.changes * 100] = words[5]
        return ""


dumps = json.dumps


@pytest.fixture(autouse=True)
def no_old_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_legacy_places", list)


def test_an_accept_comes_once_and_goes() -> None:
    nft = FakeNft(*DOCKER)
    one = Foreign(nft, "corten")
    for _ in range(2):
        assert [p.chain for p in one.settle(["corten0"])] == ["DOCKER-USER"]
    assert nft.changes == 1
    assert sorted(nft.rules.values()) == sorted(
        rules(Place("dockerd", "ip", "filter", "DOCKER-USER"), ["corten*"], "corten containers")
    )
    one.settle(["corten0", "br9"])
    assert len(nft.rules) == 4  # a bridge that the user named
    one.remove()
    assert nft.rules == {}


def test_one_that_was_taken_away_is_put_back() -> None:
    nft = FakeNft(*UFW)
    one = Foreign(nft, "corten")
    one.settle(["corten0"])
    nft.rules.clear()  # ufw reload
    one.settle(["corten0"])
    assert len(nft.rules) == 2


def test_other_rules_stay() -> None:
    nft = FakeNft(*DOCKER)
    nft.rules[7] = 'iifname "eth0" counter drop'
    one = Foreign(nft, "corten")
    one.settle(["corten0"])
    one.remove()
    assert list(nft.rules) == [7]
