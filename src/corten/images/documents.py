"""New images' configurations: of a container that is committed, and ``--change``. No I/O."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from corten.errors import InvalidArgument
from corten.images.times import to_rfc3339
from corten.spec import jsonlite, platform

_SHELL = ["/bin/sh", "-c"]


def committed(
    base: dict[str, Any],
    run: dict[str, Any],
    changes: Sequence[str],
    *,
    author: str,
    comment: str,
    created_by: str,
    now: int,
) -> dict[str, Any]:
    """The document of an image that is made of a container.

    Arguments:
        base: the document of its image.
        run: the container's own configuration, in the document's words.
        changes: Dockerfile instructions.
        now: seconds since the epoch.
    Raises:
        InvalidArgument: an instruction that can't be.
    """
    created = to_rfc3339(now)
    document = {key: value for key, value in base.items() if key not in ("container_config",)}
    config = {**(base.get("config") or {}), **run}
    for line in changes:
        change(config, line)
    document["config"] = config
    document["created"] = created
    document["author"] = author
    document["comment"] = comment
    entry = {"created": created, "created_by": created_by}
    if author:
        entry["author"] = author
    if comment:
        entry["comment"] = comment
    document["history"] = [*(base.get("history") or ()), entry]
    return document


def imported(changes: Sequence[str], *, comment: str, asked: str, now: int) -> dict[str, Any]:
    """The document of an image that is made of a file system's archive.

    Arguments:
        asked: its platform; empty: this machine's.
    """
    here = platform.parse(asked) if asked else platform.local()
    created = to_rfc3339(now)
    config: dict[str, Any] = {}
    for line in changes:
        change(config, line)
    document: dict[str, Any] = {
        "architecture": here.architecture,
        "os": here.os,
        "created": created,
        "comment": comment,
        "config": config,
        "history": [{"created": created, "comment": comment}],
    }
    if here.variant:
        document["variant"] = here.variant
    return document


def change(config: dict[str, Any], line: str) -> None:
    """Apply one Dockerfile instruction to a configuration.

    Raises:
        InvalidArgument: unknown, or malformed.
    """
    word, _, rest = line.strip().partition(" ")
    name, rest = word.upper(), rest.strip()
    apply = _CHANGES.get(name)
    if apply is None:
        raise InvalidArgument(f"{word} is not a valid change command")
    if not rest:
        raise InvalidArgument(f"{name} requires at least one argument")
    apply(config, rest)


def _command(text: str) -> list[str]:
    if text.startswith("["):
        try:
            words = jsonlite.loads(text)
        except InvalidArgument:
            words = None
        if isinstance(words, list) and all([isinstance(word, str) for word in words]):
            return words
    return [*_SHELL, text]


def _cmd(config: dict[str, Any], text: str) -> None:
    config["Cmd"] = _command(text)


def _entrypoint(config: dict[str, Any], text: str) -> None:
    config["Entrypoint"] = _command(text)
    config.pop("Cmd", None)  # as the builder has it: a command of the old entry point's


def _pairs(name: str, text: str) -> list[tuple[str, str]]:
    """``A=b C="d e"``, or the old ``A b``."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"{name}: {error}") from None
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidArgument(f"{name} must have two arguments")
        return [(key, value.strip())]
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidArgument(
                f"{name}: can't find = in {word!r}; must be of the form: name=value"
            )
        found.append((key, value))
    return found


def _env(config: dict[str, Any], text: str) -> None:
    env = list(config.get("Env") or ())
    for key, value in _pairs("ENV", text):
        entry = f"{key}={value}"
        places = [n for n, old in enumerate(env) if old.partition("=")[0] == key]
        if places:
            env[places[0]] = entry
        else:
            env.append(entry)
    config["Env"] = env


def _label(config: dict[str, Any], text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs("LABEL", text))}


def _expose(config: dict[str, Any], text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        port, slash, protocol = word.partition("/")
        if not port.replace("-", "").isdigit() or protocol not in ("", "tcp", "udp", "sctp"):
            raise InvalidArgument(f"invalid containerPort: {word}")
        ports[word if slash else f"{port}/tcp"] = {}
    config["ExposedPorts"] = ports


def _volume(config: dict[str, Any], text: str) -> None:
    paths = _command(text) if text.startswith("[") else text.split()
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _workdir(config: dict[str, Any], text: str) -> None:
    before = config.get("WorkingDir") or "/"
    config["WorkingDir"] = text if text.startswith("/") else f"{before.rstrip('/')}/{text}"


def _user(config: dict[str, Any], text: str) -> None:
    config["User"] = text


def _stop_signal(config: dict[str, Any], text: str) -> None:
    config["StopSignal"] = text


def _on_build(config: dict[str, Any], text: str) -> None:
    config["OnBuild"] = [*(config.get("OnBuild") or ()), text]


def _health(config: dict[str, Any], text: str) -> None:
    if text.upper() == "NONE":
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    word, _, rest = text.partition(" ")
    if word.upper() != "CMD" or not rest.strip():
        raise InvalidArgument("HEALTHCHECK in a change is NONE, or CMD and a command")
    words = _command(rest.strip())
    shell = words[:2] == _SHELL
    config["Healthcheck"] = {"Test": ["CMD-SHELL", words[2]] if shell else ["CMD", *words]}


_CHANGES = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
