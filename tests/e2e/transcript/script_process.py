"""Exit codes, user, working directory, environment, and what a process may do."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run

PROCESS = (
    # exit codes -------------------------------------------------------------------------
    Case("exit 0", (Run("run --rm {box} true"),)),
    Case("exit 1", (Run("run --rm {box} false"),)),
    Case("exit 42", (Run("run --rm {box} sh -c 'exit 42'"),)),
    Case("exit 255", (Run("run --rm {box} sh -c 'exit 255'"),)),
    Case(
        "killed by a signal",
        (Run("run --rm {box} sh -c 'sh -c \"kill -9 \\$\\$\"; echo code $?'"),),
    ),
    Case("program missing", (Run("run --rm {box} nosuch", says=("executable file not found",)),)),
    Case(
        "program missing by path",
        (Run("run --rm {box} /no/such", says=("no such file or directory",)),),
    ),
    Case(
        "program not executable",
        (Run("run --rm {box} /usr/local/bin/noexec", says=("permission denied",)),),
    ),
    Case("program is a directory", (Run("run --rm {box} /etc", says=("permission denied",)),)),
    # dockerd's runtime notices these two only after the start, and ends with 1
    Case(
        "program's interpreter missing",
        (Run("run --rm {box} nointerp", says=("no such file or directory",), instead=127),),
    ),
    Case(
        "program is garbage",
        (Run("run --rm {box} garbage", says=("exec format error",), instead=126),),
    ),
    Case("script", (Run("run --rm {box} script a b"),)),
    Case(
        "image missing",
        (Run("run --rm --pull never 127.0.0.1:1/nosuch true", says=("nosuch",)),),
    ),
    Case("flag unknown", (Run("run --nosuch {box}", says=("unknown flag: --nosuch",)),)),
    Case("no command", (Run("run --rm {box}", says=("no command specified",)),)),
    Case("name invalid", (Run("run --rm --name -x {box} true", says=("invalid container name",)),)),
    # user -------------------------------------------------------------------------------
    Case("user default", (Run("run --rm {box} id"),)),
    Case("user by name", (Run("run --rm -u ann {box} id"),)),
    Case("user by number", (Run("run --rm -u 1000 {box} id"),)),
    Case("user and group", (Run("run --rm -u 1000:1001 {box} id"),)),
    Case("user and group by name", (Run("run --rm -u ann:extra {box} id"),)),
    Case("user without entry", (Run("run --rm -u 4242 {box} sh -c 'id; echo $HOME'"),)),
    Case("user unknown", (Run("run --rm -u nosuch {box} true", says=("unable to find user",)),)),
    Case("group unknown", (Run("run --rm -u ann:nosuch {box} true", says=("nosuch",)),)),
    Case("further groups", (Run("run --rm --group-add extra --group-add 77 {box} id"),)),
    Case("user's home", (Run("run --rm -u ann {box} sh -c 'echo $HOME'"),)),
    # working directory ------------------------------------------------------------------
    Case("directory default", (Run("run --rm {box} pwd"),)),
    Case("directory given", (Run("run --rm -w /tmp {box} pwd"),)),
    Case(
        "directory made",
        (Run("run --rm -w /new/one {box} sh -c 'pwd; ls -ld /new/one | cut -c1-10'"),),
    ),
    Case("directory relative", (Run("run --rm -w tmp {box} pwd", says=("absolute",)),)),
    Case("directory is a file", (Run("run --rm -w /etc/passwd {box} pwd", says=("/etc/passwd",)),)),
    # environment ------------------------------------------------------------------------
    Case("environment default", (Run("run --rm -h me {box} env"),)),
    Case("environment given", (Run("run --rm -h me -e A=1 -e B= {box} sh -c 'env | sort'"),)),
    Case(
        "environment passed through",
        (Run("run --rm -h me -e PASSED -e ABSENT {box} env", env={"PASSED": "through"}),),
    ),
    Case("environment with blanks", (Run("run --rm -e 'A=x  y' {box} sh -c 'echo \"$A\"'"),)),
    Case("path replaced", (Run("run --rm -e PATH=/usr/local/bin {box} script"),)),
    Case("image's configuration", (Run("run --rm {entry}"),)),
    Case("image's command replaced", (Run("run --rm {entry} three"),)),
    Case("image's entry point replaced", (Run("run --rm --entrypoint id {entry}"),)),
    Case("image's entry point taken away", (Run("run --rm --entrypoint '' {entry} pwd"),)),
    Case(
        "image's environment",
        (Run("run --rm -h me -e COLOUR=red --entrypoint env {entry}"),),
    ),
    Case(
        "image's variable removed",
        (Run("run --rm -h me -e COLOUR --entrypoint env {entry}"),),
    ),
    Case("image's user replaced", (Run("run --rm -u root --entrypoint id {entry}"),)),
    # what it may do ---------------------------------------------------------------------
    Case(
        "capabilities", (Run("run --rm {box} grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status"),)
    ),
    Case(
        "capabilities dropped",
        (Run("run --rm --cap-drop ALL --cap-add chown {box} grep ^Cap /proc/self/status"),),
    ),
    Case(
        "capabilities of a user",
        (Run("run --rm -u ann {box} grep -E '^(Cap|NoNew)' /proc/self/status"),),
    ),
    Case(
        "no new privileges",
        (Run("run --rm --security-opt no-new-privileges {box} grep NoNew /proc/self/status"),),
    ),
    Case("capability unknown", (Run("run --rm --cap-add nosuch {box} true", says=("nosuch",)),)),
    Case("seccomp refuses", (Run("run --rm {box} unshare -U true"),)),
    Case("read-only root", (Run("run --rm --read-only {box} touch /x"),)),
    Case("host name", (Run("run --rm -h me {box} hostname"),)),
    Case("first process", (Run("run --rm {box} sh -c 'echo $$; exec cat /proc/1/comm'"),)),
    Case("file mode mask", (Run("run --rm {box} sh -c umask"),)),
    Case(
        "limit of open files",
        (Run("run --rm --ulimit nofile=77:88 {box} sh -c 'ulimit -n; ulimit -Hn'"),),
    ),
    Case(
        "score of the oom killer",
        (Run("run --rm --oom-score-adj 300 {box} cat /proc/self/oom_score_adj"),),
    ),
    Case("devices", (Run("run --rm {box} sh -c 'cd /dev; ls -d * | grep -v core | sort'"),)),
    Case(
        "shared memory",
        (
            Run(
                "run --rm --shm-size 8m {box} "
                'sh -c \'df /dev/shm | tail -1 | tr -s " " | cut -d" " -f2\''
            ),
        ),
    ),
    Case(
        "masked paths",
        (
            Run(
                "run --rm {box} sh -c 'ls /sys/firmware | wc -l; "
                "echo x >/proc/sys/kernel/hostname; mount -t tmpfs x /tmp'"
            ),
        ),
    ),
    Case(
        "kernel settings",
        (Run("run --rm --sysctl kernel.msgmax=4242 {box} cat /proc/sys/kernel/msgmax"),),
    ),
    Case(
        "memory below the least",
        (Run("run --rm -m 1m {box} true", says=("minimum memory limit allowed is 6MB",)),),
    ),
    Case("too many processors", (Run("run --rm --cpus 4096 {box} true", says=("range of CPUs",)),)),
)
