"""Signals by name or number."""

from __future__ import annotations

import signal

from corten.engine.types import ContainerConfig
from corten.errors import InvalidArgument

_DEFAULT_TIMEOUT = 10.0  # seconds; Docker's
_LAST = 64  # the kernel's _NSIG


def signal_number(text: str) -> int:
    """``TERM``, ``SIGTERM``, ``15``, ``RTMIN+3``, ``RTMAX-1``.

    Raises:
        InvalidArgument: there is no such signal.
    """
    if text.isascii() and text.isdigit():
        number = int(text)
    else:
        number = _by_name(text.upper().removeprefix("SIG"))
    if not 1 <= number <= _LAST:
        raise InvalidArgument(f"Invalid signal: {text}")
    return number


def stop_timeout(config: ContainerConfig) -> float:
    """Seconds between a container's stop signal and SIGKILL; below 0: no SIGKILL."""
    return _DEFAULT_TIMEOUT if config.stop_timeout is None else float(config.stop_timeout)


def _by_name(name: str) -> int:
    for base, sign in (("RTMIN", "+"), ("RTMAX", "-")):
        if name.startswith(base + sign) and name[len(base) + 1 :].isdigit():
            offset = int(name[len(base) + 1 :])
            start = int(getattr(signal, f"SIG{base}"))
            number = start + offset if sign == "+" else start - offset
            return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else 0
    found = getattr(signal, f"SIG{name}", None)
    return int(found) if isinstance(found, signal.Signals) else 0
