"""Terminals: size, raw mode, Ctrl-C, Ctrl-D, detach keys."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run, Terminal, Until

_DETACH = "\x10\x11"  # ctrl-p ctrl-q
_SIZES = (
    'sh -c \'s() { [ "$(stty size)" != "33 111" ] || exit 4; }; trap s WINCH; echo ready; '
    "while :; do sleep 0.05; done'"
)
_CAT = "sh -c 'stty -echo; echo ready; cat'"
_ANSWER = "sh -c 'stty -echo; echo ready; while read x; do echo \"<$x>\"; done'"

TERMINAL = (
    Case(
        "terminal",
        (Terminal("run --rm -it {box} sh -c 'tty; test -t 0 && test -t 2 && echo yes'"),),
    ),
    Case("terminal without input", (Terminal("run --rm -t {box} tty"),)),
    Case(
        "terminal asked for without one",
        (Run("run --rm -it {box} true", says=("is not a tty",), stdin=b""),),
    ),
    Case("terminal for output alone", (Run("run --rm -t {box} sh -c 'test -t 1 && echo tty'"),)),
    Case("terminal's variable", (Run("run --rm -t {box} sh -c 'echo $TERM'"),)),
    Case("terminal joins the outputs", (Run("run --rm -t {box} sh -c 'echo out; echo err >&2'"),)),
    Case("terminal's exit code", (Terminal("run --rm -it {box} sh -c 'exit 9'"),)),
    Case("terminal's program missing", (Terminal("run --rm -it {box} nosuch", keep=False),)),
    Case(
        "terminal's size",
        (
            Terminal(
                f"run --rm -it {{box}} {_SIZES}",
                (("expect", "ready"), ("resize", "33 111")),
                keep=False,
            ),
        ),
    ),
    Case(
        "terminal's first size",
        (
            Terminal(
                'run --rm -it {box} sh -c \'while [ "$(stty size 2>/dev/null)" != "24 80" ]; '
                "do sleep 0.05; done; stty size'"
            ),
        ),
    ),
    Case(
        "Ctrl-C",
        (
            Terminal(
                # whoever has said it is the one that is interrupted, be it a shell still
                "run --rm -it {box} sh -c 'sh -c \"echo ready; exec cat\"; echo code $?'",
                (("expect", "ready"), ("send", "\x03")),
            ),
            Terminal(
                'run --rm -it {box} sh -c \'trap "echo int; exit 8" INT; echo ready; '
                "while :; do sleep 0.05; done'",
                (("expect", "ready"), ("send", "\x03")),
            ),
        ),
    ),
    Case(
        "Ctrl-D",
        (Terminal(f"run --rm -it {{box}} {_CAT}", (("expect", "ready"), ("send", "a\n\x04"))),),
    ),
    Case(
        "raw mode",
        (
            Terminal(
                "run --rm -it {box} sh -c 'stty raw -echo; echo ready; head -c 4 | od -An -tx1'",
                (("expect", "ready"), ("send", "a\x03\x04\r")),
            ),
        ),
    ),
    Case(
        "echo",
        (
            Terminal(
                "run --rm -it {box} sh -c 'echo ready; read line; echo \"<$line>\"'",
                (("expect", "ready\r\n"), ("send", "typed\r"), ("expect", "<typed>")),
            ),
        ),
    ),
    Case(
        "detach",
        (
            Terminal(
                f"run -it --name t-a {{box}} {_ANSWER}",
                (("expect", "ready"), ("send", _DETACH)),
                keep=False,
            ),
            Run("inspect -f '{{.State.Status}}' t-a"),
            Terminal(
                "attach t-a",
                (("send", "again\n"), ("expect", "<again>"), ("send", _DETACH)),
                keep=False,
            ),
            Run("inspect -f '{{.State.Status}}' t-a"),
            Terminal(
                "attach t-a",
                (("send", "more\n"), ("expect", "<more>"), ("send", "\x04")),
                keep=False,
            ),
            Run("wait t-a"),
        ),
    ),
    Case(
        "detach keys of one's own",
        (
            Terminal(
                f"run -it --detach-keys ctrl-a,b --name t-a {{box}} {_CAT}",
                (
                    ("expect", "ready\r\n"),
                    ("send", "x\x10\n"),
                    ("expect", "x\x10\r\n"),
                    ("send", "\x01b"),
                ),
                keep=False,
            ),
            Run("inspect -f '{{.State.Status}}' t-a"),
        ),
    ),
    Case(
        "detach keys unknown",
        (Terminal("run -it --name t-a --detach-keys nosuch {box} true", keep=False),),
    ),
    Case(
        "detach key alone reaches the program",
        (
            Terminal(
                "run --rm -it {box} sh -c 'stty raw -echo; echo ready; head -c 2 | od -An -tx1'",
                (("expect", "ready"), ("send", "\x10"), ("send", "x")),
            ),
        ),
    ),
    Case(
        "attach",
        (
            Run("run -d -i --name t-a {box} sh -c 'read x; echo got $x; sleep 0.5; exit 5'"),
            Run("attach t-a", stdin=b"word\n", quiet=True),  # dockerd loses the output, mostly
            Run("wait t-a"),
        ),
    ),
    Case(
        "attach without input",
        (
            Run("run -d --name t-a {box} sh -c 'while [ ! -e /go ]; do sleep 0.05; done; exit 4'"),
            Run("exec -d t-a sh -c 'sleep 2; touch /go'"),
            Run("attach --no-stdin t-a"),
        ),
    ),
    Case(
        "attach passes signals on",
        (
            Run(
                'run -d --name t-a {box} sh -c \'trap "exit 7" TERM; '
                "while :; do echo ready; sleep 0.1; done'"
            ),
            Run("attach t-a", signal="TERM", ready="ready", quiet=True),
        ),
    ),
    Case(
        "attach when stopped",
        (
            Run("run --name t-a {box} true"),
            Run("attach t-a", says=("cannot attach to a stopped container",)),
        ),
    ),
    Case(
        "terminal of an exec",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Terminal("exec -it t-a sh -c 'tty; exit 3'"),
            Terminal(
                f"exec -it t-a {_SIZES}",
                (("expect", "ready"), ("resize", "33 111")),
                keep=False,
            ),
            Terminal(
                "exec -it t-a sh -c 'echo ready; cat; echo code $?'",
                (("expect", "ready"), ("send", "\x03")),
            ),
            Terminal(f"exec -it t-a {_CAT}", (("expect", "ready"), ("send", "b\n\x04"))),
            Run("exec -t t-a sh -c 'echo $TERM'"),
        ),
    ),
    Case(
        "exec detached by keys",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Terminal(
                "exec -it t-a sh -c 'echo ready; sleep 1; touch /done; cat'",
                (("expect", "ready"), ("send", _DETACH)),
                keep=False,
            ),
            Until("exec t-a ls /", "done"),
            Run("exec t-a ls /done"),
        ),
    ),
    Case(
        "start with a terminal",
        (
            Run("create -it --name t-a {box} sh -c 'tty; exit 2'", quiet=True),
            Terminal("start -ai t-a"),
        ),
    ),
)
