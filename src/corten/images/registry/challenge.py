"""``WWW-Authenticate`` (RFC 9110, 11.6.1), and what a token server is asked for."""

from __future__ import annotations

from corten.spec._struct import Struct

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Challenge(Struct):
    """One way to authenticate that a server offers.

    Fields:
        scheme: in lower case, as ``bearer`` or ``basic``.
        parameters: names in lower case.
    """

    scheme: str
    parameters: dict[str, str]


class _Scanner:
    """Reads the header's grammar from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self, chars: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in chars:
            self.at += 1

    def token(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _TOKEN:
            self.at += 1
        return self.text[start : self.at]

    def take(self, char: str) -> bool:
        if self.text[self.at : self.at + 1] != char:
            return False
        self.at += 1
        return True

    def value(self) -> str:
        if not self.take('"'):
            return self.token()
        found = []
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == '"':
                break
            if char == "\\" and self.at < len(self.text):
                char = self.text[self.at]
                self.at += 1
            found.append(char)
        return "".join(found)


def parse(header: str) -> list[Challenge]:
    """All challenges of one header's value, in order; what is malformed ends the list."""
    scanner = _Scanner(header)
    found: list[Challenge] = []
    while True:
        scanner.skip(" \t,")
        word = scanner.token()
        if not word:
            return found
        scanner.skip(" \t")
        if scanner.take("=") and found:
            scanner.skip(" \t")
            found[-1].parameters[word.lower()] = scanner.value()
        else:
            found.append(Challenge(scheme=word.lower(), parameters={}))


def pick(challenges: list[Challenge]) -> Challenge | None:
    """The best one that is understood: a token before a password in each request."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme and (
                scheme == "basic" or challenge.parameters.get("realm")
            ):
                return challenge
    return None


def pull_scope(path: str) -> str:
    """What a pull needs (distribution specification, token authentication)."""
    return f"repository:{path}:pull"
