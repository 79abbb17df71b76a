"""What one more container costs the stack in memory, after one exec, one attach and 10 MB of
logs: the sum of PSS of everything of ours, against docker with the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.commands import PROGRAMS, command
from bench.image import NAME
from bench.peers import Peers, output
from bench.sampling import Row

STEP = 4  # containers between two readings
SETTLE = 3.0  # seconds before a reading: what containers cost that are left alone
LINE = "0123456789" * 6 + "012"
SCRIPT = f"yes {LINE} | head -c 10000000; sleep 100000"


def pss(words: tuple[str, ...]) -> float:
    """MB of PSS of all processes whose command line has one of ``words`` and which are no
    container's program."""
    total = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            line = (
                Path(f"/proc/{entry}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
            if not any(word in line for word in words):
                continue
            rollup = Path(f"/proc/{entry}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(r.split()[1]) for r in rollup.splitlines() if r.startswith("Pss:"))
    return total / 1024


def one_more(client: list[str], name: str, **environment: str) -> None:
    """A container with its exec, its attach and its logs behind it."""
    command([*client, "run", "-d", "--name", name, NAME, "sh", "-c", SCRIPT], **environment)()
    command([*client, "exec", name, "true"], **environment)()
    attach = [
        "timeout",
        "-s",
        "KILL",
        "0.3",
        *client,
        "attach",
        "--no-stdin",
        "--sig-proxy=false",
        name,
    ]
    try:
        command(attach, **environment)()
    except RuntimeError:
        pass  # timeout ends it; the container goes on
    logs_written(client, name, **environment)


def logs_written(client: list[str], name: str, **environment: str) -> None:
    command(
        ["sh", "-c", f"{' '.join(client)} logs {name} | tail -c 100 >/dev/null"], **environment
    )()


def growth(
    client: list[str], words: tuple[str, ...], samples: int, **environment: str
) -> list[float]:
    """MB per container, one value per ``STEP`` containers."""
    values, number = [], 0
    one_more(client, "warm", **environment)
    time.sleep(SETTLE)
    for _ in range(samples):
        before = pss(words)
        for _ in range(STEP):
            one_more(client, f"memory{number}", **environment)
            number += 1
        time.sleep(SETTLE)
        values.append((pss(words) - before) / STEP)
    remove = [f"memory{n}" for n in range(number)] + ["warm"]
    command([*client, "rm", "-f", *remove], **environment)()
    return values


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    row = Row("memory of one more container (PSS of the whole stack)", "MB", version, 0.2)
    ours: Callable[..., list[float]] = growth
    row.ours = ours(
        [str(PROGRAMS / "corten")],
        (str(peers.base / "corten"),),
        samples,
        CORTEN_STATE=str(peers.ours().state),
    )
    row.theirs = growth(
        ["/usr/bin/docker"],
        ("dockerd", "containerd", "docker-proxy"),
        samples,
        DOCKER_HOST=peers.docker_host(),
    )
    yield row
