"""The resolver: one process per daemon, which outlives it. Holds the sockets at which
containers ask for names; answers from tables that the daemon replaces, asks others for the
rest. Ends when it has no container left and nobody speaks to it."""

from __future__ import annotations

import os
from _socket import socket as Socket

from corten.errors import CortenError, InvalidArgument, Unimplemented
from corten.kernel.namespaces import open_namespace
from corten.launch import messages, placement
from corten.launch.dns import packets
from corten.launch.dns.guests import Guest
from corten.launch.dns.names import Names, Servers
from corten.launch.dns.upstream import Upstream
from corten.launch.forked import become_monitor
from corten.launch.loop import READ, Loop
from corten.launch.messages import CreateResolver, read
from corten.launch.peers import Listener, Peer, Request, describe
from corten.launch.statefile import report_crash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.dns.packets import Query
    from corten.launch.wire import Packet


def run(request: CreateResolver, packet: Packet, lock: int, host_mount_ns: int) -> None:
    """Be the resolver until it is not needed any more. Never returns; arguments as for
    ``container.run``."""
    code = 1
    try:
        keep = [lock, *packet.fds.values()]
        become_monitor("corten-resolver", keep, host_mount_ns)
        resolver = Resolver(request)
        resolver.begin(Socket(fileno=packet.take("control")))
        resolver.loop.run()
        code = 0
    except BaseException as error:
        report_crash(request.run_dir, error)
    finally:
        os._exit(code)


class Resolver:
    """All containers of one daemon that have networks with names."""

    def __init__(self, request: CreateResolver) -> None:
        self.loop = Loop()
        self._request = request
        self._own_netns = open_namespace("network")
        self._names = Names(request.tables)
        self._servers = Servers()
        self._upstream = Upstream(self.loop)
        self._guests: dict[str, Guest] = {}
        self._pidfds: dict[str, int] = {}
        self._peers: list[Peer] = []

    def begin(self, first: Socket) -> None:
        """Listen, and answer whoever asked for us."""
        peer = self._accept(first)
        try:
            if self._request.monitor_cgroup:
                placement.join(self._request.monitor_cgroup)
            Listener(self.loop, self._request.run_dir, self._accepted)
        except Exception as error:
            failure = error if isinstance(error, CortenError) else describe(error, "resolver")
            peer.fail(messages.CREATE_ID, failure)
            self.loop.running = False
            return
        peer.reply(messages.CREATE_ID, {"pid": os.getpid()})

    def _accepted(self, sock: Socket) -> None:
        self._accept(sock)

    def _accept(self, sock: Socket) -> Peer:
        peer = Peer(self.loop, sock, self._handle)
        peer.gone = self._left
        self._peers.append(peer)
        return peer

    def _left(self, peer: Peer) -> None:
        if peer in self._peers:
            self._peers.remove(peer)
        self._rest()

    def _rest(self) -> None:
        if not self._guests and not self._peers:
            self.loop.running = False

    # requests --------------------------------------------------------------------------

    def _handle(self, peer: Peer, request: Request) -> None:
        if request.op == "dns_add":
            self._add(request)
        elif request.op == "dns_change":
            self._change(request)
        elif request.op == "dns_remove":
            self._remove(str(request.args.get("id", "")))
        elif request.op == "dns_list":
            peer.reply(request.id, {"ids": list(self._guests)})
            return
        else:
            raise Unimplemented(f"a resolver knows no operation {request.op!r}")
        peer.reply(request.id, {})

    def _add(self, request: Request) -> None:
        wanted = read(messages.DnsAdd, request.args)
        netns, pidfd = request.packet.take("netns"), request.packet.take("pidfd")
        if netns < 0 or pidfd < 0:
            raise InvalidArgument("the request has no network namespace or no process")
        self._remove(wanted.id)
        try:
            guest = Guest(self.loop, netns, self._own_netns, self._asked)
        except BaseException:
            os.close(netns)
            os.close(pidfd)
            raise
        guest.networks = list(wanted.networks)
        guest.servers = list(wanted.servers)
        guest.shut_in = wanted.shut_in
        self._guests[wanted.id] = guest
        self._pidfds[wanted.id] = pidfd
        # Sockets keep a namespace alive: they go with the container's first process.
        self.loop.watch(pidfd, READ, lambda _events: self._remove(wanted.id))

    def _change(self, request: Request) -> None:
        wanted = read(messages.DnsChange, request.args)
        guest = self._guests.get(wanted.id)
        if guest is not None:
            guest.networks = list(wanted.networks)
            guest.shut_in = wanted.shut_in

    def _remove(self, guest_id: str) -> None:
        guest = self._guests.pop(guest_id, None)
        if guest is not None:
            guest.close()
            self.loop.close(self._pidfds.pop(guest_id))
            self._rest()

    # questions -------------------------------------------------------------------------

    def _asked(self, guest: Guest, query: Query, tcp: bool, reply: Callable[[bytes], None]) -> None:
        if query.flags & 0x7800:  # another operation than a question
            reply(query.reply(packets.NOTIMP))
            return
        answer = self._names.answer(guest.networks, query)
        if answer is not None:
            reply(answer)
        elif guest.shut_in:
            reply(query.reply(packets.SERVFAIL))
        else:
            servers = guest.servers or self._servers.get()
            self._upstream.ask(query, list(servers), reply, tcp=tcp, open_=guest.socket)
