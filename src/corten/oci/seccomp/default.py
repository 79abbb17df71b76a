"""Docker's default profile: an allow-list, as data of our own in the form of a Docker profile.

What is not named gets EPERM, except ``clone3`` without CAP_SYS_ADMIN: its flags lie in memory,
where a filter can't see them, so it answers ENOSYS and C libraries fall back to ``clone``.
A test compares the table with Docker's own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALWAYS = (
    # files: open, read, write, seek, map positions
    "_llseek cachestat close close_range copy_file_range creat dup dup2 dup3 fadvise64 "
    "fadvise64_64 fallocate fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 ioctl lseek "
    "open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
    "readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee truncate "
    "truncate64 vmsplice write writev "
    # paths, links, directories
    "access chdir faccessat faccessat2 fanotify_mark fchdir getcwd getdents getdents64 "
    "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch link linkat listmount mkdir "
    "mkdirat mknod mknodat name_to_handle_at readlink readlinkat rename renameat renameat2 rmdir "
    "statmount symlink symlinkat umask unlink unlinkat "
    # attributes, owners, times
    "chmod chown chown32 fchmod fchmodat fchmodat2 fchown fchown32 fchownat fgetxattr flistxattr "
    "fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat getxattr "
    "getxattrat lchown lchown32 lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr "
    "lstat lstat64 newfstatat removexattr removexattrat setxattr setxattrat stat stat64 statfs "
    "statfs64 statx utime utimensat utimensat_time64 utimes "
    # memory
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 "
    "mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc "
    "pkey_free pkey_mprotect process_mrelease remap_file_pages "
    # processes and threads
    "execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp "
    "getpid getppid getrandom getrusage getsid gettid kill landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl "
    "restart_syscall riscv_hwprobe rseq seccomp set_robust_list set_thread_area set_tid_address "
    "setpgid setsid sysinfo tgkill times tkill uname uretprobe vfork wait4 waitid waitpid "
    # futexes, signals, timers, clocks
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 futex futex_requeue futex_time64 "
    "futex_wait futex_waitv futex_wake getitimer gettimeofday nanosleep pause rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 "
    "sigprocmask sigreturn time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 "
    # identities and capabilities
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 "
    "getresgid getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid "
    "setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 "
    "setresuid setresuid32 setreuid setreuid32 setuid setuid32 "
    # scheduling and limits
    "getpriority getrlimit ioprio_get ioprio_set prlimit64 sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield setpriority setrlimit ugetrlimit "
    # waiting for descriptors
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 "
    "epoll_wait epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents "
    "io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 "
    "select "
    # sockets and System V IPC
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr "
    "mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl "
    "semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat "
    "shmctl shmdt shmget shutdown socketcall socketpair "
)

# Calls that a capability opens (it is useless without them).
_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
        "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount "
        "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog "
        "umount umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": (
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"
    ),
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

_BY_ARCHITECTURE = (
    (("ppc64le",), "swapcontext sync_file_range2"),
    (
        ("arm", "arm64"),
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
    (("amd64", "x32"), "arch_prctl"),
    (("amd64", "x32", "x86"), "modify_ldt"),
    (("s390", "s390x"), "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    (("riscv64",), "riscv_flush_icache"),
)

# Ptrace between one's own processes was a way around seccomp before Linux 4.8.
_SINCE_4_8 = "process_vm_readv process_vm_writev ptrace"

# socket(2) of every family but AF_ALG (38: the kernel's cryptography, a history of holes) and
# AF_VSOCK (40: reaches the hypervisor past every network namespace).
_SOCKET = (("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40))

# personality(2): Linux, Linux32, both with UNAME26, and the question what is set.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# clone(2) must have none of CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}.
_NAMESPACE_FLAGS = 0x7E020000

# Architectures by the native one, with the foreign ones that its kernel runs as well.
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "SCMP_ARCH_AARCH64": ("SCMP_ARCH_ARM",),
    "SCMP_ARCH_MIPS64": ("SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"),
    "SCMP_ARCH_MIPS64N32": ("SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64"),
    "SCMP_ARCH_MIPSEL64": ("SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"),
    "SCMP_ARCH_MIPSEL64N32": ("SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64"),
    "SCMP_ARCH_S390X": ("SCMP_ARCH_S390",),
    "SCMP_ARCH_RISCV64": (),
    "SCMP_ARCH_LOONGARCH64": (),
}
_S390 = ["s390", "s390x"]
_ALLOW = "SCMP_ACT_ALLOW"
_EPERM, _ENOSYS = 1, 38


def _allow(names: str, **more: Any) -> dict[str, Any]:
    return {"names": names.split(), "action": _ALLOW, **more}


def _argument(index: int, op: str, value: int) -> dict[str, Any]:
    return {"args": [{"index": index, "value": value, "op": op}]}


def _rules() -> list[dict[str, Any]]:
    rules = [_allow(_ALWAYS), _allow(_SINCE_4_8, includes={"minKernel": "4.8"})]
    rules += [_allow("socket", **_argument(0, op, value)) for op, value in _SOCKET]
    rules += [
        _allow("personality", **_argument(0, "SCMP_CMP_EQ", value)) for value in _PERSONALITIES
    ]
    rules += [
        _allow(names, includes={"arches": list(arches)}) for arches, names in _BY_ARCHITECTURE
    ]
    rules += [
        _allow(names, includes={"caps": [capability]})
        for capability, names in _BY_CAPABILITY.items()
    ]
    without = ["CAP_SYS_ADMIN"]
    # s390 has clone's flags in the second argument
    rules.append(
        _allow(
            "clone",
            **_argument(0, "SCMP_CMP_MASKED_EQ", _NAMESPACE_FLAGS),
            excludes={"caps": without, "arches": _S390},
        )
    )
    rules.append(
        _allow(
            "clone",
            **_argument(1, "SCMP_CMP_MASKED_EQ", _NAMESPACE_FLAGS),
            includes={"arches": _S390},
            excludes={"caps": without},
        )
    )
    rules.append(
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": _ENOSYS,
            "excludes": {"caps": without},
        }
    )
    return rules


def profile() -> dict[str, Any]:
    """The profile, in Docker's form; a fresh copy."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "archMap": [
            {"architecture": native, "subArchitectures": list(others)}
            for native, others in _ARCHITECTURES.items()
        ],
        "syscalls": _rules(),
    }
