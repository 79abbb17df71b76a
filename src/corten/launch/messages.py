"""The wire between daemon, launcher and monitors: every operation, its fields, its reply.

One JSON object a packet of a ``SOCK_SEQPACKET`` socket, descriptors beside it:

- request ``{"v": 1, "id": N, "op": "kill", "args": {…}, "fds": ["name", …]}``
- reply ``{"v": 1, "id": N, "ok": {…}, "fds": […]}`` or ``{"v": 1, "id": N, "error": {…}}``
- event ``{"v": 1, "event": "exit", "data": {…}}``

``fds`` names the descriptors of the packet in their order. More than 200 of them go
ahead in packets with ``"more": true``. A request or reply of more than 64 KiB travels
in a sealed memfd: ``{"v": 1, "id": N, "body": true, "fds": ["body", …]}``.

Versions: a field may be added with a default at any time (unknown ones are ignored on
reading); anything else raises ``VERSION``, and a monitor is always spoken to in the
version that its ``state.json`` names.
"""

from __future__ import annotations

from corten.spec._struct import Struct, to_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar

    _M = TypeVar("_M", bound="Message")

VERSION = 1
OLDEST_VERSION = 1  # of a monitor that this package still speaks to
CREATE_ID = 0  # id of the reply with which a monitor's first connection begins


class Message(Struct):
    """Base of everything that crosses the wire; ``op`` names a request."""

    if TYPE_CHECKING:
        op: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a packet."""
        return to_dict(self)


def read(cls: type[_M], data: dict[str, Any]) -> _M:
    """Rebuild a message; fields that this version does not know are ignored, lists become
    tuples (one level)."""
    known = cls._fields
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name in known
    }
    return cls(**values)


# --- values inside of messages ----------------------------------------------------------


class Log(Message):
    """Where the output of a container goes.

    Fields:
        driver: ``json-file``, ``cri`` or ``none``.
        path: absolute; made with mode 0640 (its directory exists).
        max_size: bytes after which the file is rotated (``path.1`` is the newest); 0: never.
        max_files: how many there are, the current one included; 1 truncates.
        attrs: json-file only: an object that every line carries as ``attrs``.
    """

    driver: str = "json-file"
    path: str = ""
    max_size: int = 0
    max_files: int = 1
    attrs: dict[str, str] | None = None


class Published(Message):
    """One port to relay: connections that reach the listening socket (descriptor
    ``published.N``, N counted from 0) go to ``address``:``port`` in the container.

    ``address`` is resolved in the host's network namespace: the container's IP address."""

    address: str
    port: int


class RuntimeChoice(Message):
    """``native``, or ``binary`` with the program of an OCI runtime.

    Fields:
        path: the program, absolute.
        root: its ``--root`` directory; empty: a directory in the run directory.
        args: global options put ahead of the command (``--systemd-cgroup``).
    """

    kind: str = "native"
    path: str = ""
    root: str = ""
    args: tuple[str, ...] = ()


class Health(Message):
    """A health check; seconds.

    Fields:
        process: the specification's ``process`` object, complete.
        interval: between the end of one and the begin of the next.
        start_period: failures in it don't count, until one has succeeded.
        start_interval: instead of ``interval`` in the start period; 0: the same.
        retries: failures in a row that make it unhealthy.
    """

    process: dict[str, Any]
    interval: float
    timeout: float
    start_period: float = 0
    start_interval: float = 0
    retries: int = 3


# --- launcher ---------------------------------------------------------------------------


class Hello(Message):
    """Who are you? → :class:`HelloReply`."""

    op = "hello"
    program: str = ""


class HelloReply(Message):
    version: int
    oldest: int
    pid: int
    package: str  # version of the corten package it was forked from
    python: str
    protected: bool  # the interpreter lies under the read-only overlay


class Create(Message):
    """Fork a monitor which creates a container → :class:`Forked` with descriptor ``pidfd``
    from the launcher at once; the monitor's own answer, :class:`Created`, comes as the first
    packet (id ``CREATE_ID``) over the descriptor ``control``.

    Descriptors:
        control: our end of a ``SOCK_SEQPACKET`` pair. It becomes the monitor's first
            connection and is subscribed to its events from the beginning. End of file on
            it: the monitor has ended (before its first reply: it was killed).
        config: sealed memfd with the OCI ``config.json``.
        ns.TYPE: (optional) a namespace to join; TYPE in the specification's words
            (``network``, ``ipc``, ``uts``, ``pid``, ``user``, ``cgroup``, ``mount``,
            ``time``). Overrides the config's entry of this type.
        published.N: (optional) listening sockets, see :class:`Published`.

    Fields:
        id: of the container; the run directory is locked under it.
        run_dir: exists, mode 0700; holds ``lock``, ``state.json``, ``monitor.sock``.
        bundle: directory of the bundle, for state and hooks; need not hold anything.
        rootfs: directory on which the root file system is mounted (an empty one).
        rootfs_mounts: ``Mount.to_dict()`` each; empty: ``rootfs`` holds the files itself.
        tty, stdin_open, stdin_once: as Docker's ``Tty``, ``OpenStdin``, ``StdinOnce``.
            Without ``stdin_open`` stdin is ``/dev/null``.
        console_size: (rows, columns); (0, 0) leaves the kernel's.
        cgroup: the container's, as ``corten.cgroups.open_cgroup`` takes it; empty: none.
        monitor_cgroup: the monitor's own; empty: it stays in the launcher's.
        stop_signal, stop_timeout: what a monitor that gets SIGTERM (the machine goes down)
            does to its container: the signal (a number; empty: SIGTERM), and SIGKILL after so
            many seconds; below 0: no SIGKILL.
        drain: seconds after init's end for which processes that still hold its stdout or
            stderr are listened to.
        seccomp: ``""``: the config's own filter; ``default``: Docker's profile, resolved for
            the config's capabilities; else the JSON text of a profile in Docker's format.
        no_pivot, systemd_cgroup: as the runtime's flags of these names.
    """

    op = "create"
    id: str
    tenant: str = ""
    run_dir: str
    bundle: str
    rootfs: str = ""
    rootfs_mounts: tuple[dict[str, Any], ...] = ()
    runtime: dict[str, Any] = {}  # RuntimeChoice
    log: dict[str, Any] = {}  # Log
    tty: bool = False
    stdin_open: bool = False
    stdin_once: bool = False
    console_size: tuple[int, int] = (0, 0)
    cgroup: str = ""
    monitor_cgroup: str = ""
    published: tuple[dict[str, Any], ...] = ()  # Published
    stop_signal: str = ""
    stop_timeout: float = 10.0
    drain: float = 2.0
    seccomp: str = ""
    no_pivot: bool = False
    systemd_cgroup: bool = False
    health: dict[str, Any] = {}  # Health; empty: none


class Forked(Message):
    pid: int
    start_time: int  # clock ticks since boot, field 22 of /proc/PID/stat


class Created(Message):
    """The container is ``created``: init waits for :class:`Start`."""

    pid: int  # init's, in the daemon's PID namespace; 0 where the runtime has none
    start_time: int
    steps: tuple[tuple[str, int], ...] = ()  # (name, microseconds)


class CreatePod(Message):
    """Fork a pod monitor, which makes and holds namespaces → as for :class:`Create`, with
    :class:`PodCreated` and the descriptors ``ns.TYPE`` of everything it holds.

    Descriptors:
        control: as for :class:`Create`.
        ns.network: (optional) a network namespace to hold, from :class:`MakeNetns`.

    Fields:
        namespaces: types to make: any of ``ipc``, ``uts``, ``pid``.
        hostname: set in the new UTS namespace.
        sysctls: written inside (``net.…`` in the given network namespace, ``kernel.shm…``,
            ``kernel.msg…``, ``kernel.sem``, ``fs.mqueue…`` in the new IPC namespace).
        cgroup: of the reaper (PID 1 of a shared PID namespace).
    """

    op = "pod"
    id: str
    tenant: str = ""
    run_dir: str
    namespaces: tuple[str, ...] = ()
    hostname: str = ""
    sysctls: dict[str, str] = {}
    cgroup: str = ""
    monitor_cgroup: str = ""


class CreateResolver(Message):
    """Fork the resolver (``launch/dns``) → as for :class:`Create`; the first reply has its
    ``pid``.

    Fields:
        tables: the directory with the tables of names.
    """

    op = "resolver"
    id: str = "resolver"
    run_dir: str
    tables: str
    monitor_cgroup: str = ""


class PodCreated(Message):
    pid: int  # of the reaper; 0 without a PID namespace of the pod's own
    start_time: int


class Fill(Message):
    """Fork a process that copies what an image has into directories → nothing; the outcome,
    :class:`Filled`, comes as the only packet (id ``CREATE_ID``) over the descriptor
    ``control``. End of file before it: the process was killed.

    Fields:
        rootfs, rootfs_mounts: as for :class:`Create`; for reading.
        volumes: (path in the image, empty directory of ours) each.
    """

    op = "fill"
    rootfs: str
    rootfs_mounts: tuple[dict[str, Any], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()


class Filled(Message):
    """``outcomes``, in the order of the request: ``copied``, ``missing`` (there is no such path,
    which is no error), ``file`` (it is no directory)."""

    outcomes: tuple[str, ...]


class MakeNetns(Message):
    """Make a network namespace with its loopback up → :class:`NetnsReply` with descriptors
    ``netns`` and ``netlink`` (``NETLINK_ROUTE``, opened inside).

    ``pin``: a path in the host's mount namespace to bind it to (made as an empty file);
    whoever asks owns it and unmounts it with :class:`Unpin`."""

    op = "netns"
    pin: str = ""


class NetnsReply(Message):
    inode: int  # which namespace it is, as in /proc/PID/ns/net


class OpenNetlink(Message):
    """Open ``NETLINK_ROUTE`` inside the namespace of the descriptor ``netns`` → descriptor
    ``netlink``."""

    op = "netlink"


class Unpin(Message):
    """Unmount and unlink what :class:`MakeNetns` pinned; one that is gone is no error."""

    op = "unpin"
    path: str


class Shutdown(Message):
    """End the launcher; monitors live on."""

    op = "shutdown"


# --- monitor ----------------------------------------------------------------------------


class GetState(Message):
    """→ what ``state.json`` holds, as a dictionary."""

    op = "state"


class Subscribe(Message):
    """From the reply on, events come over this connection."""

    op = "subscribe"


class Start(Message):
    """Execute the program. ProgramNotFound, ProgramNotExecutable: the container has ended
    with 127, 126 then."""

    op = "start"


class Kill(Message):
    """Send a signal (number) to init or to an exec's process; ``all``: to every process."""

    op = "kill"
    signal: int
    all: bool = False
    exec_id: str = ""


class Exec(Message):
    """Run a process in the container → :class:`ExecStarted`; with ``attach`` the descriptor
    ``stream`` (format: :class:`Attach`). Its exit code is in ``state.json`` and in the
    event ``exec-exit``.

    Fields:
        process: the specification's ``process`` object, complete.
        stdin: keep stdin open for attachers; else ``/dev/null``.
        console_size: (rows, columns).
        join_cgroup: a sub-cgroup, empty: the container's.
    """

    op = "exec"
    exec_id: str
    process: dict[str, Any]
    tty: bool = False
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    attach: bool = True
    console_size: tuple[int, int] = (0, 0)


class ExecStarted(Message):
    pid: int


class Attach(Message):
    """→ the descriptor ``stream``, a ``SOCK_STREAM`` socket. A client that made the pair itself
    sends the monitor's end as the descriptor ``stream`` and gets none (so for :class:`Exec`).

    With a terminal it carries raw bytes both ways. Without one, output comes in frames of
    Docker's: stream (1 stdout, 2 stderr), three zero bytes, length (big-endian, 32 bits),
    payload; input is raw. ``shutdown(SHUT_WR)`` closes the process's stdin where ``stdin``
    was asked for and the process was made with ``stdin_once`` or is an exec, never a
    terminal's; closing the socket altogether closes no stdin: it detaches. End of file: the
    process has ended and everything was delivered. Who does not read holds the process's
    output up once a megabyte waits, as under Docker.
    """

    op = "attach"
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    exec_id: str = ""


class CloseStdin(Message):
    op = "close_stdin"
    exec_id: str = ""


class Resize(Message):
    op = "resize"
    rows: int
    columns: int
    exec_id: str = ""


class Pause(Message):
    op = "pause"


class Resume(Message):
    op = "resume"


class Update(Message):
    """Change limits; ``resources`` as the specification's ``linux.resources``."""

    op = "update"
    resources: dict[str, Any]


class ReopenLog(Message):
    """Open the log's path again (after the kubelet renamed it). On an error the old file
    stays in use and no new one was made."""

    op = "reopen_log"


class Namespaces(Message):
    """Pod monitor: → descriptors ``ns.TYPE`` of what it holds."""

    op = "namespaces"


class Delete(Message):
    """Kill what still runs, take everything away and end. The reply comes when all is gone
    but the run directory. ``force`` False: FailedPrecondition while the container runs."""

    op = "delete"
    force: bool = False


# --- resolver ---------------------------------------------------------------------------


class DnsAdd(Message):
    """A container asks at 127.0.0.11 from now on. Descriptors ``netns`` (its network
    namespace) and ``pidfd`` (its first process: with that it is forgotten).

    Fields:
        networks: ids: whose names it may know, the first one's first.
        servers: who is asked for other names; empty: those that the host asks.
        shut_in: nobody is.
    """

    op = "dns_add"
    id: str
    networks: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    shut_in: bool = False


class DnsChange(Message):
    """It has other networks now."""

    op = "dns_change"
    id: str
    networks: tuple[str, ...] = ()
    shut_in: bool = False


class DnsRemove(Message):
    """It asks no more; one that is not there is no error."""

    op = "dns_remove"
    id: str


class DnsList(Message):
    """→ ``ids`` of the containers."""

    op = "dns_list"


# --- events -----------------------------------------------------------------------------


class Exit(Message):
    """Event ``exit`` (``exec_id`` empty) and ``exec-exit``.

    ``code``: 0 to 255; 128 + signal where one ended it. ``error``: why it never ran.
    ``reason``: as in :class:`MonitorState`."""

    exec_id: str = ""
    code: int
    signal: int = 0
    oom_killed: bool = False
    finished_at: int  # nanoseconds since the epoch
    error: dict[str, Any] | None = None
    reason: str = ""


class Started(Message):
    """Event ``start`` and ``exec-start``."""

    exec_id: str = ""
    pid: int
    started_at: int


class HealthChecked(Message):
    """Event ``health``: one check is done.

    Fields:
        status: ``starting``, ``healthy``, ``unhealthy``, with it.
        streak: failures in a row.
        result: ``start``, ``end`` (nanoseconds since the epoch), ``code`` (-1: it could not run,
            or took too long), ``output``.
    """

    status: str
    streak: int
    result: dict[str, Any]


class OutOfMemory(Message):
    """Event ``oom``: processes of the container were killed; ``count`` so far."""

    count: int


EVENT_START = "start"
EVENT_EXIT = "exit"
EVENT_OOM = "oom"
EVENT_HEALTH = "health"
EVENT_EXEC_START = "exec-start"
EVENT_EXEC_EXIT = "exec-exit"
EVENTS: dict[str, type[Message]] = {
    EVENT_START: Started,
    EVENT_EXIT: Exit,
    EVENT_OOM: OutOfMemory,
    EVENT_HEALTH: HealthChecked,
    EVENT_EXEC_START: Started,
    EVENT_EXEC_EXIT: Exit,
}

LAUNCHER_OPS: tuple[type[Message], ...] = (
    Hello, Create, CreatePod, CreateResolver, Fill, MakeNetns, OpenNetlink, Unpin, Shutdown,
)  # fmt: skip
RESOLVER_OPS: tuple[type[Message], ...] = (DnsAdd, DnsChange, DnsRemove, DnsList)
MONITOR_OPS: tuple[type[Message], ...] = (
    GetState, Subscribe, Start, Kill, Exec, Attach, CloseStdin, Resize, Pause, Resume,
    Update, ReopenLog, Namespaces, Delete,
)  # fmt: skip


# --- state.json -------------------------------------------------------------------------


class ExecState(Message):
    pid: int = 0
    status: str = "running"  # running, exited
    exit_code: int = 0
    signal: int = 0
    started_at: int = 0
    finished_at: int = 0


class MonitorState(Message):
    """``run_dir/state.json``, replaced by rename at each change: what a daemon that comes
    later needs to know. Whether the monitor lives is told by the lock, not by this file.

    Fields:
        status: ``creating``, ``created``, ``running``, ``paused``, ``exited``.
        cleaned: the cgroup is gone and the poststop hooks ran: nothing of the container
            is left but the run directory.
        exit_code: valid with ``exited``.
        reason: ``""``, ``oom``, ``shutdown`` (the monitor was told to end, as when the machine
            goes down), ``monitor-lost`` (the monitor was killed, code 137).
        error: why it never started (``CortenError.to_dict()``), or None.
        execs: exec id → ExecState, running ones and ended ones.
        kind: ``container`` or ``pod``.
    """

    version: int = VERSION
    kind: str = "container"
    id: str = ""
    tenant: str = ""
    status: str = "creating"
    cleaned: bool = False
    monitor_pid: int = 0
    monitor_start_time: int = 0
    pid: int = 0
    start_time: int = 0
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    reason: str = ""
    error: dict[str, Any] | None = None
    cgroup: str = ""
    bundle: str = ""
    runtime: dict[str, Any] = {}
    tty: bool = False
    log_dropped: int = 0  # bytes that could not be written to the log
    health: dict[str, Any] | None = None  # status, streak, log (of results)
    boot_id: str = ""
    execs: dict[str, Any] = {}
