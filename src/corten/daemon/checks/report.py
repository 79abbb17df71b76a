"""All findings, as JSON on standard output: what ``corten system check`` runs."""

from __future__ import annotations

import sys

import msgspec

import corten
from corten.daemon.checks import groups, kernelcalls, net, programs, security, storage
from corten.daemon.checks.finding import Finding


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole answer.

    Fields:
        ok: nothing that is needed is missing.
        missing: how many things that are needed are missing; nice: likewise, nice to have.
        unknown: how many could not be asked.
    """

    version: str
    ok: bool
    missing: int
    nice: int
    unknown: int
    findings: list[Finding]


def collect(root: str) -> list[Finding]:
    """Every finding, area by area.

    Arguments:
        root: the data root.
    """
    return [
        *kernelcalls.check(),
        *groups.check(),
        *net.check(),
        *storage.check(root),
        *security.check(),
        *programs.check(),
    ]


def report(findings: list[Finding]) -> Report:
    """What follows from the findings. No I/O."""
    missing = [one for one in findings if one.status == "missing"]
    needed = [one for one in missing if one.need == "needed"]
    return Report(
        version=corten.__version__,
        ok=not needed,
        missing=len(needed),
        nice=len(missing) - len(needed),
        unknown=sum(one.status == "unknown" for one in findings),
        findings=findings,
    )


def main(root: str) -> None:
    """Print the report. The command line decides about the exit code."""
    sys.stdout.buffer.write(msgspec.json.encode(report(collect(root))))
    sys.stdout.buffer.flush()
