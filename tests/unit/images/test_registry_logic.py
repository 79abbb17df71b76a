"""What the registry client decides without I/O: challenges, tokens, retries, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from corten.errors import Unauthenticated
from corten.images.registry import challenge, hosts, problems, retries, tokens
from corten.images.settings import Settings
from corten.images.types import Auth


def challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    return [(c.scheme, c.parameters) for c in challenge.parse(header)]


def test_challenges() -> None:
    header = 'Bearer realm="https://a/t",service="r",scope="repository:a/b:pull,push"'
    assert challenges(header) == [
        (
            "bearer",
            {"realm": "https://a/t", "service": "r", "scope": "repository:a/b:pull,push"},
        )
    ]
    assert challenges('Basic realm="x", Bearer realm=y , service = z') == [
        ("basic", {"realm": "x"}),
        ("bearer", {"realm": "y", "service": "z"}),
    ]
    assert challenges(r'Bearer realm="a\"b\\c"') == [("bearer", {"realm": 'a"b\\c'})]
    assert challenges("Negotiate") == [("negotiate", {})]


@pytest.mark.parametrize("header", ["", ",", "=", '="x"', '"', 'Bearer realm="unclosed'])
def test_malformed_challenges_end_the_list(header: str) -> None:
    assert len(challenge.parse(header)) <= 1


def test_a_token_is_preferred_to_a_password() -> None:
    found = challenge.pick(challenge.parse('Basic realm="x", Bearer realm="https://t"'))
    assert found is not None
    assert found.scheme == "bearer"
    assert challenge.pick(challenge.parse("Bearer service=x")) is None


def bearer(**parameters: str) -> challenge.Challenge:
    return challenge.Challenge(scheme="bearer", parameters=parameters)


def test_token_request() -> None:
    auth = Auth(username="u", password="p")
    got = tokens.request(bearer(realm="https://t/x?a=b", service="r"), "s:x", auth, tls=True)
    assert got.url == "https://t/x?a=b&service=r&scope=s%3Ax&account=u&client_id=corten"
    assert got.headers == {"Authorization": "Basic dTpw"}
    assert tokens.request(bearer(realm="https://t"), "s", None, tls=True).headers == {}


def test_identity_tokens_are_posted() -> None:
    got = tokens.request(bearer(realm="https://t"), "s", Auth(identity_token="id"), tls=True)
    assert got.form is not None
    assert got.form["refresh_token"] == "id"
    assert "id" not in got.url


def test_no_password_leaves_without_tls() -> None:
    with pytest.raises(Unauthenticated, match="without TLS"):
        tokens.request(bearer(realm="http://t"), "", Auth(username="u", password="p"), tls=True)
    assert tokens.request(bearer(realm="http://t"), "", None, tls=True).url == "http://t"


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "ftp://x", "//x"])
def test_a_realm_that_is_no_token_server(realm: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.request(bearer(realm=realm), "", None, tls=True)


def test_token_answers() -> None:
    assert tokens.answer(b'{"token":"a","expires_in":100}', 0.0) == ("a", 95.0)
    assert tokens.answer(b'{"access_token":"b"}', 0.0) == ("b", 55.0)
    for body in (b"{}", b"[]", b"x", b'{"token":5}', b'{"token":"a\\r\\nX: y"}'):
        with pytest.raises(Unauthenticated):
            tokens.answer(body, 0.0)


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Auth(username="u", password="secret"))
    url = "https://user:secret@host:5000/path?sig=secret#secret"
    assert problems.shown_url(url) == "https://host:5000/path"


def test_retry_after() -> None:
    assert retries.retry_after("7", 0) == 7
    later = format_datetime(datetime.fromtimestamp(100, UTC), usegmt=True)
    assert retries.retry_after(later, 90) == 10
    assert retries.retry_after(later, 200) == 0
    assert retries.retry_after("soon", 0) is None


def test_budget_ends() -> None:
    budget = retries.Budget(3)
    first, second = budget.failed(), budget.failed()
    assert first is not None and second is not None and second > first
    assert budget.failed() is None


def test_budget_forgives_a_transfer_that_gets_on_and_not_one_that_trickles() -> None:
    budget = retries.Budget(2)
    for number in range(1, 6):
        assert budget.failed(number << 20) is not None
    assert budget.failed((5 << 20) + 10) is None


def test_budget_respects_what_the_server_asks_within_reason() -> None:
    assert retries.Budget(3).failed(asked=4) == 4
    assert retries.Budget(3).failed(asked=3600) is None


def bases(domain: str, **settings: tuple[str, ...]) -> list[str]:
    return [e.base for e in hosts.endpoints(domain, Settings(**settings))]  # type: ignore[arg-type]  # tuples all


def test_endpoints() -> None:
    assert bases("docker.io") == ["https://registry-1.docker.io"]
    assert bases("docker.io", mirrors=("http://m:1/",)) == [
        "http://m:1",
        "https://registry-1.docker.io",
    ]
    assert bases("quay.io", mirrors=("http://m:1",)) == ["https://quay.io"]
    assert bases("localhost:5000") == ["https://localhost:5000", "http://localhost:5000"]


@pytest.mark.parametrize(
    ("domain", "insecure"),
    [
        ("127.3.2.1:5000", True),
        ("[::1]:5000", True),
        ("localhost", True),
        ("localhost.example.com", False),
        ("10.1.2.3:5000", True),
        ("10.2.0.1", False),
        ("reg.local:5000", True),
        ("reg.local", False),
        ("other", True),
        ("other:99", True),
        ("quay.io", False),
    ],
)
def test_insecure(domain: str, insecure: bool) -> None:
    settings = Settings(insecure=("10.1.0.0/16", "reg.local:5000", "other"))
    assert hosts.is_insecure(domain, settings) is insecure
