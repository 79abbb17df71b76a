"""How the report of a check is shown, and its exit code."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from corten.cli.commands import checking
from corten.errors import Internal


def one(name: str, status: str, need: str = "nice") -> dict[str, Any]:
    told = {"Without": "no x", "Remedy": "load x"} if status == "missing" else {}
    return {
        "Area": "kernel", "Name": name, "Need": need, "Status": status, "Found": "",
        "Without": "", "Remedy": "", **told,
    }  # fmt: skip


def answer(*findings: dict[str, Any]) -> dict[str, Any]:
    missing = [f for f in findings if f["Status"] == "missing"]
    needed = sum(f["Need"] == "needed" for f in missing)
    return {
        "Version": "1", "Ok": not needed, "Missing": needed, "Nice": len(missing) - needed,
        "Unknown": 0, "Findings": list(findings),
    }  # fmt: skip


def test_only_what_is_missing_is_shown() -> None:
    report = answer(one("a", "ok"), one("b", "missing"), one("c", "missing", "needed"))
    assert checking.text(report, everything=False).splitlines() == [
        "kernel",
        "  missing  b",
        "           without it: no x",
        "           to do: load x",
        "  missing  c (needed)",
        "           without it: no x",
        "           to do: load x",
        "1 of 3 are there; 1 that is nice to have is missing; 1 that is needed is missing",
    ]
    assert "  ok       a" in checking.text(report, everything=True).splitlines()


@pytest.mark.parametrize(("need", "code"), [("needed", 1), ("nice", 0)])
def test_exit_code(monkeypatch: pytest.MonkeyPatch, need: str, code: int) -> None:
    monkeypatch.setattr(checking, "run", lambda root: answer(one("b", "missing", need)))
    done = CliRunner().invoke(
        checking.check, ["--format", "{{.Name}}: {{.Status}}"], standalone_mode=False
    )
    assert (done.output, done.return_value) == ("b: missing\n", code)


def test_a_program_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "corten.cli.autostart.program", lambda _: ["/bin/sh", "-c", "echo broken >&2; exit 3"]
    )
    with pytest.raises(Internal, match="broken"):
        checking.run("/x")
