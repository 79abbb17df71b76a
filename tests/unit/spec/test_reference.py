"""References: Docker's short names, and what is refused."""

from __future__ import annotations

import pytest

from corten.errors import InvalidArgument
from corten.spec import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("redis", "docker.io/library/redis:latest", "redis:latest"),
        ("redis:7", "docker.io/library/redis:7", "redis:7"),
        ("library/redis", "docker.io/library/redis:latest", "redis:latest"),
        ("docker.io/redis", "docker.io/library/redis:latest", "redis:latest"),
        ("index.docker.io/library/redis", "docker.io/library/redis:latest", "redis:latest"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("Host/x", "Host/x:latest", "Host/x:latest"),
        ("quay.io/a/b/c:v1.0", "quay.io/a/b/c:v1.0", "quay.io/a/b/c:v1.0"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("[fe80::1]/x", "[fe80::1]/x:latest", "[fe80::1]/x:latest"),
        (f"redis@{DIGEST}", f"docker.io/library/redis@{DIGEST}", f"redis@{DIGEST}"),
        (f"redis:7@{DIGEST}", f"docker.io/library/redis:7@{DIGEST}", f"redis:7@{DIGEST}"),
        ("a--b/c__d.e_f", "docker.io/a--b/c__d.e_f:latest", "a--b/c__d.e_f:latest"),
        ("x:_Tag-1.0", "docker.io/library/x:_Tag-1.0", "x:_Tag-1.0"),
    ],
)
def test_names(text: str, canonical: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == canonical
    assert parsed.familiar == familiar
    assert reference.parse(canonical) == parsed
    assert reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Redis",
        "a/B",
        "redis:",
        "redis:-tag",
        "redis:" + "t" * 129,
        "redis@sha256:abc",
        "redis@md5:" + "a" * 32,
        "a" * 64,
        "a..b",
        "a___b",
        "a._b",
        "-a",
        "a-",
        "a//b",
        "/a",
        "a/",
        "https://redis",
        "host:port/x",
        "-host.com/x",
        "host..com/x",
        "[::zz]/x",
        "x" * 256,
        "a b",
        "über",
        "a/b@",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        reference.parse(text)


def test_limits_are_inclusive() -> None:
    assert reference.parse("quay.io/" + "x" * 255).path == "x" * 255
    assert reference.parse("x:" + "t" * 128).tag == "t" * 128


def test_error_names_the_part_that_is_wrong() -> None:
    with pytest.raises(InvalidArgument, match="lowercase"):
        reference.parse("quay.io/Foo")
    with pytest.raises(InvalidArgument, match="64 hex digits are an image's id"):
        reference.parse("0" * 64)
