"""Standard streams, logs, execs, mounts."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run, Until

_UP = "ps -q --filter name=t-a --filter status=running --format {{.Names}}"

STREAMS = (
    # input ------------------------------------------------------------------------------
    Case("input", (Run("run --rm -i {box} cat", stdin=b"hello\n"),)),
    Case("input empty", (Run("run --rm -i {box} cat", stdin=b""),)),
    Case("input not asked for", (Run("run --rm {box} cat", stdin=b"never\n"),)),
    Case("input of a megabyte", (Run("run --rm -i {box} md5sum", stdin=bytes(range(256)) * 4096),)),
    Case("input not read", (Run("run --rm -i {box} true", stdin=b"x" * 300_000),)),
    Case("input closed early", (Run("run --rm -i {box} head -c 5", stdin=b"y" * 100_000),)),
    Case(
        "input as a script", (Run("run --rm -i {box} sh", stdin=b"echo one\nexit 9\necho two\n"),)
    ),
    Case(
        "input kept for a start",
        (Run("create -i --name t-a {box} cat", quiet=True), Run("start -ai t-a", stdin=b"late\n")),
    ),
    # output -----------------------------------------------------------------------------
    Case(
        "output and errors apart", (Run("run --rm {box} sh -c 'echo out; echo err >&2; exit 3'"),)
    ),
    Case(
        "output attached alone", (Run("run --rm -a stdout {box} sh -c 'echo out; echo err >&2'"),)
    ),
    Case(
        "errors attached alone", (Run("run --rm -a stderr {box} sh -c 'echo out; echo err >&2'"),)
    ),
    Case("output without line end", (Run("run --rm {box} printf abc"),)),
    Case(
        "output of a megabyte",
        (Run("run --rm {box} sh -c 'yes 0123456789 | head -c 1048576 | md5sum'"),),
    ),
    Case("output binary", (Run("run --rm {box} printf '\\000\\001\\377\\n'"),)),
    Case(
        "output after the first process",
        (Run("run --rm {box} sh -c '(sleep 5; echo late) & echo soon'"),),
    ),
    # logs -------------------------------------------------------------------------------
    Case(
        "logs",
        (
            # one stream: in which order two are read is nobody's promise
            Run("run -d --name t-a {box} sh -c 'echo 1; echo 2; echo 3; printf 4'"),
            Run("wait t-a"),
            Run("logs t-a"),
            Run("logs --tail 2 t-a"),
            Run("logs --tail 0 t-a"),
            Run("logs -f t-a"),
            Run("logs -t --tail 1 t-a"),
            Run("logs --since 2000-01-01T00:00:00 t-a"),
            Run("logs --until 2000-01-01T00:00:00 t-a"),
        ),
    ),
    Case(
        "logs of two streams",
        (
            Run("run -d --name t-a {box} sh -c 'echo 1; echo 2 >&2; echo 3; printf 4'"),
            Run("wait t-a"),
            Run("logs t-a"),
            Run("logs -f t-a"),
            Run("logs --since 2000-01-01T00:00:00 t-a"),
        ),
    ),
    Case(
        "logs followed",
        (
            Run("run -d --name t-a {box} sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'"),
            Run("logs -f t-a"),
        ),
    ),
    Case(
        "logs of a terminal",
        (Run("run -d -t --name t-a {box} echo tty"), Run("wait t-a"), Run("logs t-a")),
    ),
    Case("logs missing", (Run("logs t-nosuch", says=("no such container",)),)),
    Case(
        "logs none",
        (
            Run("run -d --log-driver none --name t-a {box} echo x"),
            Run("wait t-a"),
            Run("logs t-a", says=("does not support reading",)),
        ),
    ),
    # execs ------------------------------------------------------------------------------
    Case(
        "exec",
        (
            Run("run -d -e A=1 -w /tmp -h me --name t-a {box} sleep 60"),
            Run("exec t-a true"),
            Run("exec t-a sh -c 'echo out; echo err >&2; exit 5'"),
            Run("exec t-a env"),
            Run("exec t-a pwd"),
            Run("exec -w / t-a pwd"),
            Run("exec -u ann t-a id"),
            Run("exec -u 1000:1001 t-a id"),
            Run("exec -e B=2 t-a sh -c 'echo $A$B'"),
            Run("exec -i t-a cat", stdin=b"fed\n"),
            Run("exec t-a cat", stdin=b"never\n"),
            Run("exec -i t-a md5sum", stdin=bytes(range(256)) * 2048),
            Run("exec t-a sh -c 'kill -9 $$'"),
            Run("exec t-a cat /proc/1/comm"),
            Run("exec t-a grep -E '^(Cap|Seccomp:)' /proc/self/status"),
        ),
    ),
    Case(
        "exec fails",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("exec t-a nosuch", quiet=True, instead=127),  # as dockerd does it since 23
            Run("exec t-a /usr/local/bin/noexec", quiet=True),
            Run("exec -u nosuch t-a true", quiet=True),
            Run("exec t-nosuch true", says=("no such container",)),
        ),
    ),
    Case(
        "exec when stopped",
        (
            Run("run --name t-a {box} true"),
            Run("exec t-a true", says=("is not running",)),
        ),
    ),
    Case(
        "exec detached",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("exec -d t-a sh -c 'echo x >/made'"),
            Until("exec t-a ls /", "made"),
            Run("exec t-a cat /made"),
        ),
    ),
    Case(
        "exec ends with its container",
        (
            Run(
                "run -d --name t-a {box} sh -c 'while [ ! -e /stop ]; do sleep 0.05; done; exit 3'"
            ),
            Run("exec t-a sh -c 'touch /stop; sleep 60'"),
            Run("wait t-a"),
        ),
    ),
    # mounts -----------------------------------------------------------------------------
    Case(
        "bind",
        (
            Run("run --rm -v {dir}:/d {box} sh -c 'echo kept >/d/f'"),
            Run("run --rm -v {dir}:/d:ro {box} sh -c 'cat /d/f; echo no >/d/f'"),
            Run("run --rm --mount type=bind,src={dir},dst=/d {box} cat /d/f"),
        ),
    ),
    Case("bind makes the source", (Run("run --rm -v {dir}/new:/d {box} ls /d"),)),
    Case(
        "bind without source",
        (Run("run --rm --mount type=bind,src={dir}/no,dst=/d {box} true", says=("{dir}/no",)),),
    ),
    Case("bind relative", (Run("run --rm -v /tmp:d {box} true", says=("absolute",)),)),
    Case(
        "bind twice",
        (Run("run --rm -v /tmp:/d -v /etc:/d {box} true", says=("duplicate mount point",)),),
    ),
    Case("bind mode unknown", (Run("run --rm -v /tmp:/d:no {box} true", says=("invalid",)),)),
    Case(
        "tmpfs",
        (
            Run(
                "run --rm --tmpfs /t:size=1m,mode=700 {box} sh -c 'ls -ld /t | cut -c1-10; "
                'df /t | tail -1 | tr -s " " | cut -d" " -f2\''
            ),
        ),
    ),
)
