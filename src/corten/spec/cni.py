"""CNI documents (containernetworking/cni SPEC.md 0.1.0 to 1.1.0): values, no I/O.

A network is a list of plugins; a single configuration (``.conf``) is a list of one.
"""

from __future__ import annotations

from corten.errors import (
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
)
from corten.spec import jsonlite
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _ALNUM | frozenset("_.-")

# SPEC.md, "Error": what a plugin's code means for the caller. Codes from 100 on are the
# plugin's own.
_ERRORS: dict[int, type[CortenError]] = {
    1: FailedPrecondition,  # incompatible version
    2: InvalidArgument,  # unsupported field
    3: NotFound,  # container unknown
    4: InvalidArgument,  # environment
    5: Unavailable,  # input or output failed
    6: InvalidArgument,  # undecodable
    7: InvalidArgument,  # network configuration
    11: Unavailable,  # try again later
    50: Unavailable,  # STATUS: not able to serve ADD
    51: Unavailable,  # STATUS: not able to serve ADD, existing containers are affected
}


class NetworkList(Struct):
    """A network configuration list, validated.

    Fields:
        version: that is spoken with the plugins.
        plugins: their configurations as written.
    """

    name: str
    version: str
    plugins: tuple[Document, ...]
    disable_check: bool = False
    disable_gc: bool = False


def at_least(version: str, minimum: str) -> bool:
    """Whether a version is the same or newer (numeric, not textual)."""
    return _numbers(version) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple([int(part) for part in version.split(".")])
    except ValueError:
        return (0,)


def parse_network(data: bytes | str, *, path: str) -> NetworkList:
    """A configuration file's content, list or single plugin.

    Arguments:
        path: the file's name, for errors.
    Raises:
        InvalidArgument: not as the specification wants it.
    """
    document = jsonlite.loads(data, what=path)
    if not isinstance(document, dict):
        raise _invalid("it is no JSON object", path)
    if "plugins" in document:
        plugins = document["plugins"]
    else:
        plugins = [document]
    return NetworkList(
        name=_valid_name(document.get("name"), path),
        version=negotiate(document, path=path),
        plugins=_valid_plugins(plugins, path),
        disable_check=_flag(document, "disableCheck", path),
        disable_gc=_flag(document, "disableGC", path),
    )


def _valid_name(name: Any, path: str) -> str:
    if not isinstance(name, str) or not name:
        raise _invalid("the network has no name", path)
    if name[0] not in _ALNUM or not _NAME.issuperset(name):
        raise _invalid(
            f"network name {name!r} must start with a letter or digit and go on with those,"
            " '_', '.' or '-'",
            path,
        )
    return name


def _valid_plugins(plugins: Any, path: str) -> tuple[Document, ...]:
    if not isinstance(plugins, list) or not plugins:
        raise _invalid("'plugins' must be a list with at least one plugin", path)
    for plugin in plugins:
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        # The type becomes a file name: never a path.
        if not isinstance(kind, str) or not kind or "/" in kind or kind in (".", ".."):
            raise _invalid(f"a plugin has no usable 'type': {kind!r}", path)
    return tuple(plugins)


def _flag(document: Document, key: str, path: str) -> bool:
    """A boolean; the specification lets the words ``true`` and ``false`` pass too."""
    value = document.get(key, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _invalid(f"'{key}' must be true or false, not {value!r}", path)
    return value


def negotiate(document: Document, *, path: str) -> str:
    """The newest version that both the document and we know.

    ``cniVersions`` (1.1.0) lists alternatives beside ``cniVersion``; neither means 0.1.0.
    """
    offered = document.get("cniVersions", [])
    if not isinstance(offered, list):
        raise _invalid("'cniVersions' must be a list", path)
    wanted = [str(v) for v in [*offered, document.get("cniVersion") or ""] if v] or ["0.1.0"]
    known = [v for v in VERSIONS if v in wanted]
    if not known:
        raise InvalidArgument(
            f"CNI version {' or '.join(wanted)} is not known",
            path=path,
            hint=f"the newest known version is {VERSIONS[-1]}",
        )
    return known[-1]


def _invalid(message: str, path: str) -> InvalidArgument:
    return InvalidArgument(message, step="read CNI configuration", path=path)


# --- what a plugin gets -------------------------------------------------------------------


def plugin_config(
    network: NetworkList,
    plugin: Document,
    *,
    capabilities: Document,
    previous: Document | None = None,
    extra: Document | None = None,
) -> Document:
    """The execution configuration of one plugin (SPEC.md, "Deriving execution
    configuration from plugin configuration").

    Arguments:
        capabilities: arguments by capability; a plugin gets those that it declares.
        previous: the result so far.
        extra: ``cni.dev/…`` keys.
    """
    config = {k: v for k, v in plugin.items() if k not in ("capabilities", "runtimeConfig")}
    config["name"] = network.name
    config["cniVersion"] = network.version
    declared = plugin.get("capabilities") or {}
    runtime = {k: v for k, v in capabilities.items() if declared.get(k) is True}
    if runtime:
        config["runtimeConfig"] = runtime
    if previous is not None:
        config["prevResult"] = previous
    config.update(extra or {})
    return config


def environment(
    command: str,
    *,
    container_id: str = "",
    netns: str = "",
    interface: str = "",
    args: str = "",
    path: tuple[str, ...] = (),
) -> dict[str, str]:
    """The parameters of one invocation (SPEC.md, "Parameters"); empty ones are left out."""
    values = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": netns,
        "CNI_IFNAME": interface,
        "CNI_ARGS": args,
        "CNI_PATH": ":".join(path),
    }
    return {key: value for key, value in values.items() if value}


# --- what a plugin answers ----------------------------------------------------------------


def parse_result(output: bytes, *, plugin: str, version: str) -> Document:
    """The result of ADD.

    Raises:
        Unavailable: it is no result; ``Unimplemented``: of a version nobody asked for.
    """
    try:
        document = jsonlite.loads(output, what=f"the result of CNI plugin {plugin}")
    except InvalidArgument as error:
        raise Unavailable(error.message, step=f"CNI plugin {plugin}") from None
    if not isinstance(document, dict):
        raise Unavailable("its result is no JSON object", step=f"CNI plugin {plugin}")
    answered = str(document.get("cniVersion") or version)
    if answered not in VERSIONS:
        raise Unimplemented(f"its result is of CNI version {answered}", step=f"CNI plugin {plugin}")
    return document


def parse_error(
    output: bytes, stderr: bytes, *, plugin: str, command: str, status: int
) -> CortenError:
    """What a plugin that failed said, as an error of ours.

    Arguments:
        status: exit status; negative: the signal that ended it.
    """
    step = f"CNI plugin {plugin} {command}"
    try:
        document = jsonlite.loads(output)
        code, message = int(document["code"]), str(document.get("msg", ""))
    except (InvalidArgument, KeyError, TypeError, ValueError):
        words = (stderr.strip() or output.strip()).decode("utf-8", "replace")[-2000:]
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return Unavailable(f"ended with {how}: {words or 'no message'}", step=step)
    details = str(document.get("details") or "")
    text = f"{message}: {details}" if details else message
    cls = _ERRORS.get(code, Unavailable)
    return cls(f"{text or 'no message'} (code {code})", step=step)


def addresses(result: Document, interface: str) -> tuple[str, ...]:
    """The addresses of an interface inside the namespace, without prefix lengths.

    Knows the forms of all versions; an address that names no interface counts.
    """
    if "ips" not in result:
        old = [(result.get(key) or {}).get("ip", "") for key in ("ip4", "ip6")]  # 0.2.0
        return tuple([ip.split("/")[0] for ip in old if ip])
    interfaces = result.get("interfaces") or []
    found = []
    for entry in result["ips"] or []:
        index = entry.get("interface")
        if isinstance(index, int) and 0 <= index < len(interfaces):
            there = interfaces[index]
            if not there.get("sandbox") or there.get("name") != interface:
                continue
        found.append(str(entry.get("address", "")).split("/")[0])
    return tuple([ip for ip in found if ip])
