"""From create to remove: states, signals, names, what is listed and shown."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run, Until

_TRAP = "sh -c 'trap \"echo got; exit 7\" {0}; echo ready; while :; do sleep 0.05; done'"
_READY = Until("logs t-a", "ready")
_EVENTS = (
    "events --since {began} --until 0s --filter container=t-events --filter event=create "
    "--filter event=start --filter event=die --filter event=destroy "
    "--format '{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}'"
)

LIFE = (
    # states -----------------------------------------------------------------------------
    Case(
        "create and start",
        (
            Run("create --name t-a {box} sh -c 'echo hi; exit 4'"),
            Run("inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}' t-a"),
            Run("start -a t-a"),
            Run("inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}' t-a"),
            Run("start t-a"),
            Run("wait t-a"),
        ),
    ),
    Case(
        "start twice",
        (Run("run -d --name t-a {box} sleep 60"), Run("start t-a"), Run("rm -f t-a")),
    ),
    Case("start missing", (Run("start t-nosuch", says=("no such container",)),)),
    Case(
        "start fails",
        (
            Run("create --name t-a {box} nosuch", quiet=True),
            Run("start t-a", says=("executable file not found",)),
            Run("inspect -f '{{.State.Status}} {{.State.ExitCode}}' t-a"),
            Run("start -a t-a", says=("executable file not found",)),
        ),
    ),
    Case(
        "wait for two",
        (
            Run("run -d --name t-a {box} sh -c 'exit 1'"),
            Run("run -d --name t-b {box} sh -c 'exit 2'"),
            Run("wait t-a t-b"),
        ),
    ),
    Case("wait missing", (Run("wait t-nosuch", says=("no such container",)),)),
    Case(
        "restart",
        (
            Run("run -d --name t-a {box} sh -c 'echo ready; sleep 60'"),
            _READY,
            Run("restart -t 0 t-a"),
            Run("inspect -f '{{.State.Status}}' t-a"),
        ),
    ),
    Case(
        "pause",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("pause t-a"),
            Run("inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' t-a"),
            Run("pause t-a", says=("already paused",)),
            Run("exec t-a true", says=("is paused",)),
            Run("unpause t-a"),
            Run("exec t-a echo on"),
            Run("unpause t-a", says=("is not paused",)),
        ),
    ),
    # signals ----------------------------------------------------------------------------
    Case(
        "stop",
        (
            Run(f"run -d --name t-a {{box}} {_TRAP.format('TERM')}"),
            _READY,
            Run("stop t-a"),
            Run("wait t-a"),
            Run("logs t-a"),
            Run("stop t-a"),
        ),
    ),
    Case(
        "stop is not heard",
        (Run("run -d --name t-a {box} sleep 60"), Run("stop -t 1 t-a"), Run("wait t-a")),
    ),
    Case(
        "stop signal of its own",
        (
            Run(f"run -d --stop-signal USR1 --name t-a {{box}} {_TRAP.format('USR1')}"),
            _READY,
            Run("stop t-a"),
            Run("wait t-a"),
        ),
    ),
    Case(
        "kill",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("kill t-a"),
            Run("wait t-a"),
            Run("kill t-a", says=("is not running",)),
        ),
    ),
    Case(
        "kill with a signal",
        (
            Run(f"run -d --name t-a {{box}} {_TRAP.format('HUP')}"),
            _READY,
            Run("kill -s HUP t-a"),
            Run("wait t-a"),
        ),
    ),
    Case(
        "kill with a number",
        (
            Run(f"run -d --name t-a {{box}} {_TRAP.format('USR2')}"),
            _READY,
            Run("kill --signal 12 t-a"),
            Run("wait t-a"),
        ),
    ),
    Case(
        "kill with no signal of the kind",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("kill -s NOSUCH t-a", says=("invalid signal: NOSUCH",)),
        ),
    ),
    Case(
        "signal passed on",
        (
            Run(f"run --rm {{box}} {_TRAP.format('TERM')}", signal="TERM", ready="ready"),
            Run(f"run --rm {{box}} {_TRAP.format('INT')}", signal="INT", ready="ready"),
            Run(f"run --rm {{box}} {_TRAP.format('USR1')}", signal="USR1", ready="ready"),
        ),
    ),
    # removal ----------------------------------------------------------------------------
    Case(
        "remove",
        (
            Run("run --name t-a {box} true"),
            Run("rm t-a"),
            Run("rm t-a", says=("no such container",)),
            Run("ps -aq --filter name=t-a"),
        ),
    ),
    Case(
        "remove while it runs",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("rm t-a", says=("cannot remove a running container",)),
            Run("rm -f t-a"),
        ),
    ),
    Case(
        "removed by itself",
        (
            Run("run -d --rm --name t-a {box} sleep 60"),
            Run("kill t-a"),
            Until("ps -a --format x{{.Names}}x --filter name=nosuch", ""),
            Run("run --rm --name t-b {box} sh -c 'exit 6'"),
            Run("ps -aq --filter name=t-b"),
        ),
    ),
    Case(
        "removed by itself after a failed start",
        (
            Run("run --rm --name t-a {box} nosuch", says=("executable file not found",)),
            Run("ps -aq --filter name=t-a"),
        ),
    ),
    # names and lists --------------------------------------------------------------------
    Case(
        "name taken",
        (
            Run("create --name t-a {box} true"),
            Run("create --name t-a {box} true", says=("is already in use by container",)),
        ),
    ),
    Case(
        "list",
        (
            Run("run -d --name t-a -l role=x {box} sleep 60"),
            Run("run --name t-b {box} sh -c 'exit 3'"),
            Run("create --name t-c {box} true"),
            Run("ps -a --filter name=t- --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}}'"),
            Run("ps --filter name=t- --format '{{.Names}} {{.State}}'"),
            Run("ps --filter label=role=x --format '{{.Names}}'"),
            Run("ps -a --filter label=role=y --format '{{.Names}}'"),
            Run("ps -a --filter exited=3 --format '{{.Names}}'"),
            Run("ps -a --filter status=created --format '{{.Names}}'"),
            Run("ps -a --filter ancestor={box} --format '{{.Names}}'"),
            Run("ps -n 2 --format '{{.Names}}'"),
            Run("ps -l --format '{{.Names}}'"),
            Run("ps -a --filter before=t-b --format '{{.Names}}'"),
            Run("ps -a --filter nosuch=x", says=("invalid filter",)),
        ),
    ),
    Case(
        "inspect",
        (
            Run("run -d --name t-a -e A=1 -l k=v -w /tmp -u ann -m 64m --cpus 0.5 {box} sleep 60"),
            Run("inspect -f '{{.Name}} {{.Path}} {{.Args}} {{.Platform}}' t-a"),
            Run("inspect -f '{{.Config.Env}} {{.Config.Labels}} {{.Config.User}}' t-a"),
            Run("inspect -f '{{.Config.WorkingDir}} {{.Config.Cmd}} {{.Config.Image}}' t-a"),
            Run(
                "inspect -f '{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.Tty}}' t-a"
            ),
            Run("inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}' t-a"),
            Run("inspect -f '{{.HostConfig.MemorySwap}} {{.HostConfig.ShmSize}}' t-a"),
            Run("inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.AutoRemove}}' t-a"),
            Run("inspect -f '{{json .HostConfig.PortBindings}} {{json .Mounts}}' t-a"),
            Run("inspect -f '{{.State.Status}} {{.State.OOMKilled}} {{.State.FinishedAt}}' t-a"),
            Run("inspect t-nosuch", says=("no such object",)),
        ),
    ),
    Case(
        "inspect an image",
        (
            Run(
                "image inspect -f '{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}}' {entry}"
            ),
            Run("image inspect -f '{{.Config.Env}} {{.Config.WorkingDir}} {{.Os}}' {entry}"),
            Run("image inspect t-nosuch", says=("no such image",)),
            Run("images -q t-nosuch"),
        ),
    ),
    Case(
        "events",
        (
            Run("run --name t-events {box} sh -c 'exit 3'"),
            Run("rm t-events"),
            Until(_EVENTS, "destroy"),  # `--until 0s` is the last full second
            Run(_EVENTS),
        ),
    ),
)
