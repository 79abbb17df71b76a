"""``create`` and ``run``. A plain ``run`` needs no socket, so that ``_socket`` (0.3 ms)
is imported where one is made."""

from __future__ import annotations

import posix
import sys
import time

from corten.cgroups import open_cgroup
from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel.process import start_time
from corten.oci import ahead, begin, lifecycle
from corten.oci.cli import called, protect
from corten.oci.cli_common import destroy, one_id
from corten.oci.cliargs import SWITCH, VALUE, parse
from corten.oci.failure import failed
from corten.oci.identity import doubts
from corten.oci.paths import join
from corten.oci.plan import PlanOptions, compile_plan
from corten.oci.records import Record, read_json, write_file
from corten.oci.rootfs import mounts_at
from corten.spec import jsonlite
from corten.spec.runtime import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings
    from corten.oci.cliargs import Arguments
    from corten.oci.lifecycle import Created

CREATE = {
    "bundle": VALUE,
    "config": VALUE,  # crun's
    "console-socket": VALUE,
    "pid-file": VALUE,
    "no-pivot": SWITCH,
    "no-new-keyring": SWITCH,
    "preserve-fds": VALUE,
    "pidfd-socket": VALUE,
    "help": SWITCH,
}
RUN = {**CREATE, "detach": SWITCH, "keep": SWITCH, "no-subreaper": SWITCH}
_SHORT = {"b": "bundle", "d": "detach", "f": "config", "h": "help"}
_SIGKILL = 9


def create(settings: Settings, argv: list[str]) -> int:
    """Make a container whose program waits for ``start``."""
    args = parse(argv, CREATE, short=_SHORT)
    making = Making(settings, args, one_id(args, "create"), detached=True)
    making.make(waiting=True)
    return 0


def run(settings: Settings, argv: list[str]) -> int:
    """Make a container, start it, and, unless detached, stay until it ends."""
    args = parse(argv, RUN, short=_SHORT)
    detached = args.switch("detach")
    making = Making(settings, args, one_id(args, "run"), detached=detached)
    if not detached:
        from corten.oci.foreground import Foreground

        foreground = Foreground(subreaper=not args.switch("no-subreaper"))
    created = making.make(waiting=False)
    try:
        if not detached:
            foreground.prepare(created.console_fd)
        if making.at_once:
            ahead.executed(created)
        else:
            lifecycle.start(created)
        if detached:
            making.record.close()
            return 0
        making.record.close()
        code = foreground.wait(created.pidfd, created.console_fd)
    except BaseException:
        making.undo()
        raise
    if not args.switch("keep"):
        making.clean_up()
    return code


class Making:
    """One container in the making: every step has its undo.

    Attributes:
        record: the claim on the id, locked.
    """

    def __init__(
        self, settings: Settings, args: Arguments, container_id: str, *, detached: bool
    ) -> None:
        self.settings = settings
        self.args = args
        self.id = container_id
        self.detached = detached
        self.bundle = join(posix.getcwd(), args.text("bundle") or posix.getcwd())
        self.early = begin.early()
        self.config = self._read_config()
        self.preserve = args.number("preserve-fds") + self._adopt_listen_fds()
        self.plan = compile_plan(
            self.config,
            bundle=self.bundle,
            options=PlanOptions(
                container_id=container_id,
                host_mount_ns=settings.host_mounts,
                pivot=not args.switch("no-pivot"),
                new_keyring=not args.switch("no-new-keyring"),
                keep_groups=True,
            ),
        )
        if self.early is not None and not ahead.fits(self.plan, self.preserve):
            self.early.discard()
            self.early = None
            protect(sys.argv, settings.root)
        self.terminal = self.plan.process.process.terminal
        check_console(self.terminal, detached, args.text("console-socket"))
        self.record: Record
        self.cgroup: Cgroup | None = None
        self.created: Created | None = None
        self.at_once = False

    def _read_config(self) -> dict[str, Any]:
        what = "JSON specification file config.json"
        early = self.early
        if early is None or early.bundle != (self.args.text("bundle") or "."):
            path = join(self.bundle, self.args.text("config") or "config.json")
            return dict(read_json(path, what))
        return dict(jsonlite.loads(early.config, what=what))

    def _adopt_listen_fds(self) -> int:
        """systemd's socket activation (sd_listen_fds(3)) goes on to the program."""
        count = posix.environ.get(b"LISTEN_FDS", b"")
        owner = posix.environ.get(b"LISTEN_PID", b"")
        # without an owner they were passed on by hand
        if not count.isdigit() or owner not in (b"", str(posix.getpid()).encode()):
            return 0
        process = self.config.get("process")
        if isinstance(process, dict):
            env = [*(process.get("env") or ()), f"LISTEN_FDS={int(count)}", "LISTEN_PID=1"]
            self.config = {**self.config, "process": {**process, "env": env}}
        return int(count)

    def make(self, *, waiting: bool) -> Created:
        """Claim, record, cgroup, init.

        Arguments:
            waiting: init waits at the start socket, for another process to start it.
                Otherwise it may have been started already: then ``at_once`` is true.
        """
        for line in self.plan.describe() if self.settings.log.wants_debug else ():
            self.settings.log.debug(line)
        for line in doubts(self.plan.process.process.capabilities):
            self.settings.log.warning(line)
        self.record = Record.claim(self.settings.root, self.id)
        try:
            self._fill_record()
            early = begin.early()
            if early is not None:
                self.at_once = not waiting and self._starts_at_once()
                if self.at_once:
                    self._record_init(early.pid)
            self._make_cgroup()
            listen_fd = self._listen() if waiting else -1
            self._tell_beginning()
            self.created = self._create(listen_fd)
            self.settings.log.debug(f"child process in init(): {self.created.pid}")
            self.settings.log.debug("init: closing the pipe to signal completion")
            if listen_fd >= 0:
                posix.close(listen_fd)
            if not self.at_once:
                self._hand_out(self.created)
            if waiting:
                lifecycle.leave_waiting(self.created)
                self.record.close()
        except BaseException:
            self.undo()
            raise
        return self.created

    def _tell_beginning(self) -> None:
        log = self.settings.log
        if log.wants_debug:
            sealed = begin.early() is not None or self.settings.host_mounts >= 0
            if sealed:
                log.debug(f"{called()} exeseal: using overlayfs for sealed /proc/self/exe")
                log.debug(f"{called()} exeseal: using /proc/self/exe clone: a second interpreter")
            log.debug("nsexec container setup")

    def _starts_at_once(self) -> bool:
        """Whether nobody has to know init's number or its terminal before the program runs."""
        if self.terminal or self.args.text("pid-file") or self.args.text("pidfd-socket"):
            return False
        return ahead.starts_at_once(self.plan)

    def _create(self, listen_fd: int) -> Created:
        early = begin.take()
        if early is not None:
            return ahead.create(
                early,
                self.plan,
                console=self.terminal,
                cgroup=self.cgroup,
                listen_fd=listen_fd,
                at_once=self.at_once,
            )
        from corten.oci import container

        return container.create(
            self.plan,
            console=self.terminal,
            cgroup=self.cgroup,
            preserve_fds=self.preserve,
            listen_fd=listen_fd,
        )

    def _fill_record(self) -> None:
        self.record.data = {
            "version": 1,
            "ociVersion": VERSION,
            "id": self.id,
            "bundle": self.bundle,
            "rootfs": self.plan.rootfs,
            "created": timestamp(),
            "owner": posix.getuid(),
            "config": self.config,
        }
        if self.plan.config.shares_mounts:
            self.record.data["mounts_before"] = mounts_at(self.plan.rootfs)

    def _make_cgroup(self) -> None:
        if self.settings.cgroups == "disabled":
            self.record.save()
            return
        kind = "systemd" if self.settings.cgroups == "systemd" else None
        path = self.plan.config.linux.cgroups_path
        if not path:
            path = f"system.slice:corten:{self.id}" if kind else f"/{self.id}"
        cgroup = open_cgroup(path, kind=kind)
        # recorded before it is made; a group that somebody else uses is not ours to delete
        if cgroup.pids():
            raise FailedPrecondition("container's cgroup is not empty", path=cgroup.path)
        if cgroup.frozen():
            raise FailedPrecondition("container's cgroup unexpectedly frozen", path=cgroup.path)
        self.record.data["cgroup_path"] = cgroup.path
        self.record.data["cgroup_kind"] = cgroup.kind
        self.record.save()
        self.cgroup = cgroup
        cgroup.create()
        cgroup.apply(self.plan.resources)

    def _listen(self) -> int:
        from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket

        directory = posix.open(self.record.path, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        try:
            sock.bind(f"/proc/self/fd/{directory}/start.sock")
            sock.listen(1)
        except OSError as error:
            sock.close()
            raise failed("make start socket", error, path=self.record.start_socket) from None
        finally:
            posix.close(directory)
        return sock.detach()

    def _record_init(self, pid: int) -> None:
        self.record.data["pid"] = pid
        self.record.data["start_time"] = start_time(pid)

    def _hand_out(self, created: Created) -> None:
        """Say who init is, then give its terminal away."""
        self._record_init(created.pid)
        self.record.save()
        path = self.args.text("pid-file")
        if path:
            write_file(path, str(created.pid).encode(), 0o644)
        send_pidfd(self.args.text("pidfd-socket"), created.pidfd)
        if self.detached and created.console_fd >= 0:
            send_console(self.args.text("console-socket"), created.console_fd)
            posix.close(created.console_fd)
            created.console_fd = -1

    def undo(self) -> None:
        """Take back what there is, in the reverse order."""
        if self.created is not None:
            lifecycle.abort(self.created)
        self.clean_up(hooks=False)

    def clean_up(self, *, hooks: bool = True) -> None:
        """Remove cgroup and record of a container that has ended."""
        destroy(self.record, self.cgroup, self.plan if hooks else None, self.settings)


def check_console(terminal: bool, detached: bool, path: str) -> None:
    """Who gets the terminal.

    Raises:
        InvalidArgument: nobody would, or there is none to get.
    """
    if terminal and detached and not path:
        raise InvalidArgument(
            "cannot allocate tty if runc will detach without setting console socket"
        )
    if path and not (terminal and detached):
        raise InvalidArgument("cannot use console socket if runc will not detach or allocate tty")


def send_console(path: str, fd: int) -> None:
    """Send a terminal's master to whoever listens at ``path``, as runc does."""
    _send_descriptor("console", path, b"/dev/ptmx", fd)


def send_pidfd(path: str, fd: int) -> None:
    """Send a process's pidfd to whoever listens at ``path`` (``--pidfd-socket``)."""
    if path:
        _send_descriptor("pidfd", path, b"pidfd", fd)


def _send_descriptor(what: str, path: str, name: bytes, fd: int) -> None:
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

    from corten.kernel.sockets import send_packet

    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        sock.connect(path)
        send_packet(sock, name, [fd])
    except OSError as error:
        raise failed(f"send {what}", error, path=path) from None
    finally:
        sock.close()


def timestamp() -> str:
    """Now, in RFC 3339 with nanoseconds."""
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    return f"{seconds}.{now % 1_000_000_000:09d}Z"
