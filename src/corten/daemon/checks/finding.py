"""One fact about the machine, and what follows from it."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["ok", "missing", "unknown"]
Need = Literal["needed", "nice"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What one check found.

    Fields:
        area: ``kernel``, ``cgroups``, ``network``, ``files``, ``security`` or ``programs``.
        need: ``needed``: containers, or their networks, don't work without it; ``nice``: a
            feature is missing or slower without it.
        status: ``unknown``: could not be asked, mostly for want of root.
        found: what is there, or why it is not.
        without: what does not work when it is missing.
        remedy: what to do then.
    """

    area: str
    name: str
    need: Need
    status: Status
    found: str = ""
    without: str = ""
    remedy: str = ""


class Area:
    """Collects the findings of one area."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def add(
        self,
        name: str,
        ok: bool | None,
        found: str = "",
        *,
        need: Need = "nice",
        without: str = "",
        remedy: str = "",
    ) -> None:
        """Note one.

        Arguments:
            ok: None: not known.
            without, remedy: told only where it is not there.
        """
        status: Status = "unknown" if ok is None else "ok" if ok else "missing"
        told = {} if ok else {"without": without, "remedy": remedy}
        self.findings.append(
            Finding(area=self.name, name=name, need=need, status=status, found=found, **told)
        )


def reason(error: OSError) -> str:
    """An error as half a sentence."""
    return error.strerror or str(error)
