"""Another machine: a network namespace with a link to this one."""

from __future__ import annotations

import subprocess
from typing import Self

from bench.peers import quiet

HOST, THERE = "10.96.0.1", "10.96.0.2"
_NAME = "bench-outside"


class Outside:
    """While it is entered, ``HOST`` is this machine's address for what is spawned there."""

    def __enter__(self) -> Self:
        quiet(["ip", "netns", "add", _NAME])
        for words in (
            f"link add bench-out type veth peer name eth0 netns {_NAME}",
            f"addr add {HOST}/24 dev bench-out",
            "link set bench-out up",
            f"-n {_NAME} addr add {THERE}/24 dev eth0",
            f"-n {_NAME} link set eth0 up",
            f"-n {_NAME} link set lo up",
            f"-n {_NAME} route add default via {HOST}",
        ):
            quiet(["ip", *words.split()])
        return self

    def __exit__(self, *_: object) -> None:
        quiet(["ip", "link", "delete", "bench-out"])
        quiet(["ip", "netns", "delete", _NAME])

    def spawn(self, *argv: str) -> subprocess.Popen[str]:
        """A program there, whose output is read."""
        words = ["ip", "netns", "exec", _NAME, *argv]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def output(self, *argv: str) -> str:
        """What a program there prints."""
        words = ["ip", "netns", "exec", _NAME, *argv]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout
