"""The container's init, from its birth to its program. Runs in the child alone.

It is a fork of its parent, so everything it needs is in memory: nothing is imported here.
It opens nothing of the host after pivot_root, and while it waits for the start it holds the
channel, its standard streams and what the caller wanted preserved.
"""

from __future__ import annotations

import _signal
import gc
import posix
from errno import EACCES, EDQUOT, ELOOP, ENOSYS, ENOTDIR, EPERM, EROFS

from corten.errors import CortenError, Internal
from corten.kernel import creds, namespaces, netlink, process
from corten.kernel.files import write_proc
from corten.kernel.rights import accept
from corten.kernel.seccomp import FLAG_NEW_LISTENER, FLAG_WAIT_KILLABLE_RECV, load_filter
from corten.oci import rootfs
from corten.oci.channel import Channel
from corten.oci.context import Context, check_procfs, run_steps
from corten.oci.devices import DeviceNode, capture_nodes
from corten.oci.failure import attempt, failed
from corten.oci.mounts import BindMount, FilesystemMount
from corten.oci.paths import fd_path
from corten.oci.program import Program, close_others, open_label, set_personality
from corten.spec._struct import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from corten.oci.planned import Plan
    from corten.spec.records import Hook

_SIGNALS = range(1, 32)
_ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)
_LISTENING = FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV
_INTERNAL_SIGNALS = (32, 33)  # the C library's own; whoever was spawned by it ignores the first


class Wiring:
    """What the parent hands to init by forking: descriptors and decisions.

    Attributes:
        channel: init's end; ``ours`` is the parent's, closed in the child.
        stdio: become 0, 1, 2; None: they are already.
        console: make a pseudoterminal.
        join_files: v1 cgroups to join, by writing ``0``.
        join: namespaces to enter, by type.
        preserve: that many descriptors from 3 on stay open.
        listen: a listening socket to be started by, or -1: by the channel.
        keep: descriptors besides these that are needed before the program is; all others are
            closed at once. None: they are left to :meth:`_Init.finish`.
        at_once: not to be waited for: the program is executed when all is ready.
    """

    __slots__ = (
        "at_once",
        "channel",
        "console",
        "console_size",
        "join",
        "join_files",
        "keep",
        "listen",
        "ours",
        "preserve",
        "stdio",
    )

    def __init__(self, ours: Channel, channel: Channel) -> None:
        self.ours = ours
        self.channel = channel
        self.stdio: tuple[int, int, int] | None = None
        self.console = False
        self.console_size: tuple[int, int] | None = None
        self.join_files: list[int] = []
        self.join: dict[str, int] = {}
        self.preserve = 0
        self.listen = -1
        self.keep: list[int] | None = None
        self.at_once = False

    def close_others(self) -> None:
        """Close what is neither listed here nor to be kept."""
        if self.keep is None:
            return
        first = 3 + self.preserve
        mine = (self.channel.fileno(), self.listen, *self.join_files, *self.join.values())
        close_others([fd for fd in {*mine, *self.keep} if fd >= first], first)


def run_init(plan: Plan, wiring: Wiring, context: Context, *, awaited: bool) -> NoReturn:
    """Be the container's init; ends in the program or in an error on the channel.

    Arguments:
        context: new, or with what a helper did with the host's rights.
        awaited: the parent says when it knows us and has mapped the ids of a new user namespace.
    """
    channel = wiring.channel
    try:
        init = _Init(plan, wiring, context)
        init.isolate(awaited=awaited)
        init.build()
        channel = init.finish()
    except CortenError as error:
        channel.send_error(error)
    except OSError as error:
        channel.send_error(failed("init", error))
    except BaseException as error:  # whatever it is, the parent must hear of it
        channel.send_error(Internal(f"{type(error).__name__}: {error}", step="init"))
    finally:
        posix._exit(1)


def settle(wiring: Wiring) -> None:
    """What every child does first: out of reach for others, signals and streams in order."""
    creds.set_dumpable(False)
    gc.disable()
    if wiring.ours is not wiring.channel:
        wiring.ours.close()
    # handlers end with the exec, what is ignored (SIGPIPE by Python) would stay so
    for signal in _SIGNALS:
        if _signal.getsignal(signal) not in (_signal.SIG_DFL, None):
            _signal.signal(signal, _signal.SIG_DFL)
    for signal in _INTERNAL_SIGNALS:
        process.default_signal(signal)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    posix.umask(0)
    if wiring.stdio is not None:
        # copies first: the numbers may overlap
        copies = [posix.dup(fd) for fd in wiring.stdio]
        for number, fd in enumerate(copies):
            posix.dup2(fd, number, inheritable=True)
            posix.close(fd)
    wiring.close_others()


def join_cgroups(files: list[int]) -> None:
    """Into the v1 cgroups. What we touched before stays charged to our parent: the later this
    is done, the less of a small limit is used up by the interpreter."""
    for fd in files:
        attempt("join cgroup", posix.write, fd, b"0")
        posix.close(fd)


def enter_namespaces(join: dict[str, int], kinds: tuple[str, ...]) -> None:
    """Enter those of ``kinds`` that are to be joined."""
    for kind in kinds:
        if kind in join:
            flag = namespaces.KINDS[kind][0]
            attempt(f"join {kind} namespace", namespaces.setns, join[kind], flag)


class _Init:
    def __init__(self, plan: Plan, wiring: Wiring, context: Context) -> None:
        self.plan = plan
        self.wiring = wiring
        self.context = context
        self.channel = wiring.channel
        self.label_fd = -1

    # --- namespaces -------------------------------------------------------------------

    def isolate(self, *, awaited: bool) -> None:
        """Be alone: session, namespaces, keyring."""
        plan, linux = self.plan, self.plan.config.linux
        if awaited:
            self._await_maps()
        attempt("start session", posix.setsid)
        if linux.namespace("user") is not None:
            self._become_root()
        if plan.options.new_keyring:
            self._join_keyring()
        network = linux.namespace("network")
        if network is not None and "network" not in self.wiring.join:
            attempt("set loopback up", netlink.set_link_up)
        self.context.lap("namespaces")

    def _await_maps(self) -> None:
        if self.channel.expect("mapped") is None:
            posix._exit(1)

    def _become_root(self) -> None:
        attempt("become root of the user namespace", creds.setresgid, 0)
        attempt("become root of the user namespace", creds.setresuid, 0)
        creds.set_dumpable(False)

    def _join_keyring(self) -> None:
        try:
            creds.join_session_keyring(f"_ses.{self.plan.options.container_id}")
        except OSError as error:
            # no keyrings in this kernel, or the user's quota is full: as runc, go on
            if error.errno not in (ENOSYS, EDQUOT, EPERM):
                raise failed("join session keyring", error) from None

    # --- the root file system ---------------------------------------------------------

    def build(self) -> None:
        """Make the tree, tell the parent, change into it."""
        plan, context = self.plan, self.context
        check_procfs()
        if not context.in_user_namespace:
            prepare_root(plan, context)
        if plan.bind_root:
            run_steps(context, (rootfs.BindRoot(cut_off=plan.config.shares_mounts),))
        context.lap("root file system")
        run_steps(context, plan.steps)
        self._make_working_directory()
        if self.wiring.console:
            self._make_console()
        context.lap("mounts")
        self._enter_cgroup()
        self._name_host()
        self._write_proc()
        self._runtime_hooks()
        run_steps(context, plan.final_steps)
        attempt("enter root", _enter, context, plan)
        if not plan.config.shares_mounts:
            attempt(
                "set root propagation",
                rootfs.set_root_propagation,
                plan.config.linux.rootfs_propagation,
            )
        context.lap("pivot")

    def _enter_cgroup(self) -> None:
        """Join, then make the namespace, whose root is the group that we are in, then show it."""
        join_cgroups(self.wiring.join_files)
        cgroup = self.plan.config.linux.namespace("cgroup")
        if cgroup is not None and "cgroup" not in self.wiring.join:
            flag = namespaces.CLONE_NEWCGROUP
            attempt("make cgroup namespace", namespaces.unshare, flag)
        run_steps(self.context, self.plan.cgroup_steps)
        self.context.lap("cgroup")

    def _make_working_directory(self) -> None:
        cwd = self.plan.process.process.cwd
        try:
            posix.close(self.context.root.make_directory(cwd))
        except OSError as error:
            # whether it can be entered shows when the user is final
            if error.errno not in (EPERM, EACCES, ENOTDIR, EROFS, ELOOP):
                raise failed("make the working directory", error, path=cwd) from None

    def _make_console(self) -> None:
        from corten.oci import console

        root = self.context.root
        try:
            master, slave = console.open_terminal(root, size=self.wiring.console_size)
            self.channel.send("console", master)
            posix.close(master)
            if any(mount.destination == "/dev" for mount in self.plan.config.mounts):
                console.bind_console(root, slave)
            console.take_terminal(slave)
        except OSError as error:
            raise failed("open console", error) from None

    def _name_host(self) -> None:
        config = self.plan.config
        if config.hostname:
            attempt("set hostname", namespaces.sethostname, config.hostname)
        if config.domainname:
            attempt("set domainname", namespaces.setdomainname, config.domainname)

    def _write_proc(self) -> None:
        process = self.plan.process.process
        if process.oom_score_adj is not None and not self.context.in_user_namespace:
            value = str(process.oom_score_adj).encode()
            attempt("set oom_score_adj", write_proc, "/proc/self/oom_score_adj", value)
        self.label_fd = open_label(process.selinux_label, process.apparmor_profile)
        attempt("set personality", set_personality, self.plan.config.linux.personality)

    def _runtime_hooks(self) -> None:
        hooks = self.plan.config.hooks
        if "prestart" in hooks or "createRuntime" in hooks:
            self.channel.send("hooks")
            if self.channel.expect("go") is None:
                posix._exit(1)
            self.context.lap("runtime hooks")
        if "createContainer" in hooks:
            # they start in the root file system, as with runc
            inside = fd_path(self.context.root.fd)
            self._run_hooks("createContainer", hooks["createContainer"], "creating", inside)
            self.context.lap("createContainer hooks")

    def _run_hooks(
        self,
        kind: str,
        hooks: tuple[Hook, ...],
        status: str,
        cwd: str,
        confine: Callable[[], None] | None = None,
    ) -> None:
        # in memory already: whoever forks an init has imported `container`
        from corten.oci.hooks import run_hooks
        from corten.oci.state import hook_state

        state = hook_state(self.plan, status, posix.getpid())
        run_hooks(kind, hooks, state, cwd=cwd, confine=confine)

    # --- the program ------------------------------------------------------------------

    def finish(self) -> Channel:
        """Become the user, wait for the start, execute. Returns where errors go."""
        wiring = self.wiring
        self._close_all_but([self.channel.fileno(), wiring.listen, self.label_fd])
        program = Program(self.plan.process, self.label_fd)
        program.prepare()
        self.context.lap("identity")
        self.channel.send("ready", steps=self.context.times)
        if not wiring.at_once:
            self._wait()
            self._start_hooks(program.env)
        try:
            program.execute(self.channel)
        except CortenError as error:
            self.channel.send_error(error)
        return self.channel

    def _close_all_but(self, keep: list[int]) -> None:
        first = 3 + self.wiring.preserve
        for fd in range(3, first):
            try:
                posix.set_inheritable(fd, True)
            except OSError:
                continue  # the caller has no such descriptor
        close_others([fd for fd in keep if fd >= first], first)

    def _wait(self) -> None:
        """Block until somebody says so; init ends when nobody can any more, or when it is told
        to: the first process of a PID namespace gets no signal that it does not handle."""
        for signal in _ENDING:
            _signal.signal(signal, _end)
        self._await_order()
        for signal in _ENDING:
            _signal.signal(signal, _signal.SIG_DFL)

    def _await_order(self) -> None:
        order = self.channel.expect("start", "wait")
        if order is None:
            posix._exit(1)
        if order == "wait":
            self.channel.close()
            self.channel = Channel(accept(self.wiring.listen))
            posix.close(self.wiring.listen)
            if self.channel.expect("start") is None:
                posix._exit(1)
        elif self.wiring.listen >= 0:
            posix.close(self.wiring.listen)

    def _load_filter(self) -> None:
        """A startContainer hook is a program of the container's: what is refused to that is
        refused to it. There is nobody yet who would answer for a listener."""
        seccomp = self.plan.process.seccomp
        if seccomp is not None:
            load_filter(seccomp.code, seccomp.flags & ~_LISTENING)

    def _start_hooks(self, environment: tuple[str, ...]) -> None:
        hooks = self.plan.config.hooks.get("startContainer")
        if hooks:
            # the program's environment is theirs, unless they have their own
            hooks = tuple([h if h.env is not None else replace(h, env=environment) for h in hooks])
            try:
                self._run_hooks("startContainer", hooks, "created", "/", self._load_filter)
            except CortenError as error:
                self.channel.send_error(error)
                posix._exit(1)


def _end(signal: int, _frame: object) -> NoReturn:
    posix._exit(128 + signal)


def prepare_root(plan: Plan, context: Context) -> None:
    """Make the root file system's own mounts, with the host's rights.

    Sources of volumes are taken before the tree is cut off from the host where they are to
    be shared with it, and where a user namespace will take our rights.
    """
    captured = []
    if plan.shared or context.in_user_namespace:
        binds = [step for step in plan.steps if isinstance(step, BindMount)]
        captured = [step for step in binds if not _shows_what_we_mount(step, plan)]
    if plan.shared:
        _capture(captured, context)
    run_steps(context, plan.root_steps)
    if not plan.shared:
        _capture(captured, context)
    if context.in_user_namespace:
        nodes = [step for step in plan.steps if isinstance(step, DeviceNode)]
        attempt("make devices", capture_nodes, nodes, context, plan.config.linux)


def _shows_what_we_mount(bind: BindMount, plan: Plan) -> bool:
    """Whether the source lies inside the container, below an earlier mount of it."""
    if not bind.source.startswith(f"{plan.rootfs}/"):
        return False
    inside = f"{bind.source[len(plan.rootfs) :]}/"
    mounts = [s for s in plan.steps if isinstance(s, (BindMount, FilesystemMount))]
    return any([inside.startswith(f"{s.destination}/") for s in mounts[: mounts.index(bind)]])


def _capture(binds: list[BindMount], context: Context) -> None:
    for bind in binds:
        attempt(bind.name, bind.capture, context)


def _enter(context: Context, plan: Plan) -> None:
    rootfs.enter_root(context, pivot=plan.options.pivot, shared=plan.config.shares_mounts)
