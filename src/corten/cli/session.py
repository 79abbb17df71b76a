"""What every command works with: the caller's options, and a client of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from corten.cli import autostart
from corten.client import Client, Connection
from corten.errors import Unavailable, Unimplemented

if TYPE_CHECKING:
    from corten.cli.console import Console

TENANTS = ("docker", "k8s")


class Session:
    """One command line.

    Arguments:
        console: the conversation with the thin client.
        state: the daemon's state directory; None: a remote host was named.
    """

    def __init__(self, console: Console, state: str | None) -> None:
        self.console = console
        self.state = state
        self.tenant = "docker"
        self._client: Client | None = None

    @property
    def path(self) -> str:
        """The daemon's socket."""
        return f"{self._local_state()}/corten.sock"

    def _local_state(self) -> str:
        if self.state is None:
            raise Unimplemented(
                "daemons on other machines can't be reached yet",
                hint="unset DOCKER_HOST and CORTEN_HOST to use the one of this machine",
            )
        return self.state

    @property
    def client(self) -> Client:
        """A client of the daemon, connected at first use; starts the daemon for root."""
        if self._client is None:
            connection = autostart.connect(self._local_state())
            self._client = Client(connection, tenant=self.tenant)
        return self._client

    def use(self, client: Client) -> None:
        """Take this one instead of connecting."""
        self._client = client

    @property
    def connection(self) -> Connection:
        return self.client.connection

    def if_running(self) -> Client | None:
        """As :attr:`client`, without starting a daemon: None if there is none."""
        if self._client is None and self.state is not None:
            try:
                self._client = Client(Connection(self.path), tenant=self.tenant)
            except Unavailable:
                return None
        return self._client

    def reconnect(self) -> Connection:
        """A new connection to a daemon that went away. Raises Unavailable: not back yet."""
        connection = Connection(self.path)
        if self._client is not None:
            self._client.close()
        self._client = Client(connection, tenant=self.tenant)
        return connection

    def of_tenant(self, tenant: str) -> Client:
        """The same connection, seeing another tenant's objects."""
        return Client(self.connection, tenant=tenant)


pass_session = click.make_pass_decorator(Session)
