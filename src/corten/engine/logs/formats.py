"""The two formats of a line: Docker's json-file and the kubelet's CRI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from corten.engine.types import LogLine

Parse = Callable[[bytes], LogLine | None]


class _JsonLine(msgspec.Struct):
    log: str = ""
    stream: str = "stdout"
    time: str = ""


_decode = msgspec.json.Decoder(_JsonLine).decode


def parse_json(line: bytes) -> LogLine | None:
    """``{"log":"text\\n","stream":"stdout","time":"…Z"}``; None for what is no such line
    (the torn end of a file after a crash)."""
    try:
        found = _decode(line)
        time = timestamp(found.time)
    except (msgspec.MsgspecError, ValueError):
        return None
    data = found.log.encode("utf-8", "surrogateescape")
    return LogLine(
        time=time, stream=_stream(found.stream), data=data, partial=not data.endswith(b"\n")
    )


def parse_cri(line: bytes) -> LogLine | None:
    """``TIME STREAM TAGS CONTENT``; the tag ``P`` marks a part of a line, ``F`` its end."""
    fields = line.removesuffix(b"\n").split(b" ", 3)
    if len(fields) < 4:
        return None
    try:
        time = timestamp(fields[0].decode("ascii"))
    except ValueError:
        return None
    partial = fields[2].split(b":")[0] == b"P"
    data = fields[3] if partial else fields[3] + b"\n"
    return LogLine(
        time=time, stream=_stream(fields[1].decode("ascii", "replace")), data=data, partial=partial
    )


def timestamp(text: str) -> int:
    """RFC 3339 with up to nine digits of a second, in nanoseconds since the epoch.

    Raises:
        ValueError: no such time.
    """
    head, dot, rest = text.partition(".")
    if not dot:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    digits = rest.rstrip("Zz")
    zone = rest[len(digits) :]
    for sign in "+-":
        if sign in digits:
            at = digits.index(sign)
            digits, zone = digits[:at], digits[at:]
    when = datetime.fromisoformat(head + (zone or "Z"))
    seconds = int(when.astimezone(UTC).timestamp())
    return seconds * 1_000_000_000 + int(digits[:9].ljust(9, "0"))


def _stream(name: str) -> Literal["stdout", "stderr"]:
    return "stderr" if name == "stderr" else "stdout"
