"""The table of routes, and that nothing of the standard is unknown."""

from __future__ import annotations

from corten.dockerapi.router import Router
from corten.dockerapi.routes import ROUTER
from tests.unit.dockerapi.records import standard


def test_parts_of_a_path() -> None:
    router = Router([("GET", "/a/{id}/json", 1), ("GET", "/i/{name*}/json", 2)])
    match = router.match("GET", "/i/host:5000/a/b/json")
    assert match is not None
    assert (match.handler, match.params) == (2, {"name": "host:5000/a/b"})
    assert router.match("GET", "/a/x/y/json") is None
    assert router.match("POST", "/a/x/json") is None
    assert router.match("GET", "/a/x/json/") is None


def test_first_pattern_wins() -> None:
    router = Router([("GET", "/i/get", 1), ("GET", "/i/{name*}", 2)])
    match = router.match("GET", "/i/get")
    assert match is not None
    assert match.handler == 1


def test_every_operation_of_the_standard_is_answered_or_refused_by_name() -> None:
    paths = standard()["paths"]
    unknown = [
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method in operations
        if ROUTER.match(method.upper(), path.replace("{", "").replace("}", "")) is None
    ]
    assert unknown == []
