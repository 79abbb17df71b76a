"""CNI as specified (SPEC.md 1.1.0, "Execution Protocol"): a network's plugins, executed.

Blocking, for a pool of threads; no state: what has to be remembered is an
:class:`Invocation` and the result, and both are the caller's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from corten.errors import CortenError, FailedPrecondition, InvalidArgument, Unimplemented
from corten.networks import plugin
from corten.spec import cni, jsonlite

_SUFFIXES = (".conflist", ".conf", ".json")


class Invocation(NamedTuple):
    """The parameters of one attachment, the same for ADD, CHECK and DEL."""

    container_id: str
    netns: str
    interface: str
    args: str
    capabilities: dict[str, Any]


def find_network(directory: str) -> cni.NetworkList:
    """The first valid configuration of a directory, by file name.

    Raises:
        FailedPrecondition: there is none; where files were refused, it says why.
    """
    refused: list[str] = []
    try:
        names = sorted(n for n in os.listdir(directory) if n.endswith(_SUFFIXES))
    except OSError:
        names = []
    for name in names:
        path = os.path.join(directory, name)
        try:
            return cni.parse_network(Path(path).read_bytes(), path=path)
        except InvalidArgument as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(f"{path}: {error.strerror}")
    raise FailedPrecondition(
        "; ".join(refused) or "there is no CNI configuration",
        step="find CNI network",
        path=directory,
        hint="install a CNI network (a .conflist file) there",
    )


class Cni:
    """Executes plugins.

    Arguments:
        directories: where their programs are, in order of search.
        timeout: seconds for one plugin.
    """

    def __init__(self, directories: Sequence[str], *, timeout: float) -> None:
        self._directories = tuple(directories)
        self._timeout = timeout

    def add(self, network: cni.NetworkList, call: Invocation) -> dict[str, Any]:
        """Attach; the last plugin's result. If it fails, the caller runs :meth:`delete`."""
        result: dict[str, Any] | None = None
        for config in network.plugins:
            output = self._run("ADD", network, config, call, previous=result)
            result = cni.parse_result(output, plugin=config["type"], version=network.version)
        assert result is not None, "a network has at least one plugin"
        return result

    def check(self, network: cni.NetworkList, call: Invocation, result: dict[str, Any]) -> None:
        """Raise what is wrong with an attachment; nothing where CHECK is switched off."""
        if network.disable_check:
            return
        if not cni.at_least(network.version, "0.4.0"):
            raise Unimplemented(f"CHECK does not exist in CNI version {network.version}")
        for config in network.plugins:
            self._run("CHECK", network, config, call, previous=result)

    def delete(
        self, network: cni.NetworkList, call: Invocation, result: dict[str, Any] | None
    ) -> None:
        """Detach, the last plugin first. Every plugin is run, whatever becomes of one; the
        first error is raised then."""
        previous = result if result and cni.at_least(network.version, "0.4.0") else None
        failure: CortenError | None = None
        for config in reversed(network.plugins):
            try:
                self._run("DEL", network, config, call, previous=previous)
            except CortenError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def status(self, network: cni.NetworkList) -> None:
        """Raise why an ADD can't succeed now; before 1.1.0 only missing programs count."""
        for config in network.plugins:
            self._program(config["type"])
        if cni.at_least(network.version, "1.1.0"):
            for config in network.plugins:
                self._run("STATUS", network, config, None)

    def collect(self, network: cni.NetworkList, valid: Sequence[tuple[str, str]]) -> None:
        """GC: let the plugins free what belongs to no attachment of ``valid``.

        Arguments:
            valid: every pair of container id and interface on this network, those of other
                runtimes included: whatever is not in it is removed.
        """
        if network.disable_gc or not cni.at_least(network.version, "1.1.0"):
            return
        attachments = [{"containerID": c, "ifname": i} for c, i in valid]
        extra = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
        failure: CortenError | None = None
        for config in network.plugins:
            try:
                self._run("GC", network, config, None, extra=extra)
            except CortenError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _run(
        self,
        command: str,
        network: cni.NetworkList,
        config: dict[str, Any],
        call: Invocation | None,
        *,
        previous: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bytes:
        document = cni.plugin_config(
            network,
            config,
            capabilities=call.capabilities if call else {},
            previous=previous,
            extra=extra,
        )
        outcome = plugin.run(
            self._program(config["type"]),
            environment=cni.environment(
                command,
                container_id=call.container_id if call else "",
                netns=call.netns if call else "",
                interface=call.interface if call else "",
                args=call.args if call else "",
                path=self._directories,
            ),
            data=jsonlite.dumpb(document),
            timeout=self._timeout,
        )
        if outcome.status:
            raise cni.parse_error(
                outcome.stdout,
                outcome.stderr,
                plugin=config["type"],
                command=command,
                status=outcome.status,
            )
        return outcome.stdout

    def _program(self, kind: str) -> str:
        for directory in self._directories:
            path = os.path.join(directory, kind)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
        raise FailedPrecondition(
            f"there is no CNI plugin {kind!r}",
            path=":".join(self._directories),
            hint="apt install containernetworking-plugins",
        )
