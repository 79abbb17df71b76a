"""What happens to a container that ends, is watched, is changed."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run, Until

_STATE = "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.RestartCount}}'"
_POLICY = (
    "inspect -f '{{.HostConfig.RestartPolicy.Name}} "
    "{{.HostConfig.RestartPolicy.MaximumRetryCount}}'"
)
_COUNT = "sh -c 'echo run; exit 3'"
_HEALTH = "inspect -f '{{.State.Health.Status}}'"
_CHECK = "--health-interval 0.3s --health-retries 2 --health-timeout 5s"
_LIMITS = (
    "inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} "
    "{{.HostConfig.NanoCpus}}'"
)

POLICIES = (
    # restart policies -------------------------------------------------------------------
    Case(
        "restart on failure, so many times",
        (
            Run(f"run -d --name t-a --restart on-failure:2 {{box}} {_COUNT}"),
            Until("inspect -f '{{.State.Status}} {{.RestartCount}}' t-a", "exited 2"),
            Run(f"{_STATE} t-a"),
            Run("logs t-a"),
            Run(f"{_POLICY} t-a"),
            Run("start t-a"),
            Until("inspect -f '{{.State.Status}} {{.RestartCount}}' t-a", "exited 2"),
            Run("logs t-a"),
        ),
    ),
    Case(
        "no restart after success or by hand",
        (
            Run("run -d --name t-a --restart on-failure {box} true"),
            Run("wait t-a"),
            Run(f"{_STATE} t-a"),
            Run("run -d --name t-b --restart always {box} sleep 60"),
            Run("stop -t 0 t-b"),
            Run(f"{_STATE} t-b"),
            Run("start t-b"),
            Run("kill t-b"),
            Run("wait t-b"),
            Run(f"{_STATE} t-b"),
        ),
    ),
    Case(
        "always again",
        (
            Run(f"run -d --name t-a --restart always {{box}} {_COUNT}"),
            Until("inspect -f '{{.RestartCount}}' t-a", "2"),
            Run("rm t-a", says=("cannot remove",)),
            Run("start t-a"),
            Run("stop t-a"),
            Run("inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' t-a"),
            Run("rm t-a"),
            Run(f"run -d --name t-a --restart unless-stopped {{box}} {_COUNT}"),
            Until("inspect -f '{{.RestartCount}}' t-a", "1"),
            Run("rm -f t-a"),
            Run("ps -aq"),
        ),
    ),
    Case(
        "policies that can't be",
        (
            Run("run --rm --restart always {box} true", says=("conflicting options",)),
            Run("run --restart nosuch {box} true", says=("restart policy",)),
            Run("run --restart always:3 {box} true", says=("maximum",)),
            Run("run --restart on-failure:x {box} true", says=("maximum retry count",)),
        ),
    ),
    # update -----------------------------------------------------------------------------
    Case(
        "update",
        (
            Run("run -d --name t-a -m 64m {box} sleep 60"),
            Run(f"{_LIMITS} t-a"),
            Run("update -m 96m t-a"),
            Run("update --cpu-shares 512 t-a"),
            Run(f"{_LIMITS} t-a"),
            Run("exec t-a cat /sys/fs/cgroup/memory/memory.limit_in_bytes"),
            Run("exec t-a cat /sys/fs/cgroup/cpu/cpu.shares"),
            Run("update -m 512m t-a", says=("memoryswap",)),
            Run("update -m 512m --memory-swap 1g t-a"),
            Run(f"{_LIMITS} t-a"),
            Run("update --restart on-failure:4 t-a"),
            Run(f"{_POLICY} t-a"),
            Run("update -m 1 t-a", says=("minimum memory limit",)),
            Run("update -m 64m t-nosuch", says=("no such container",)),
            Run("run -d --rm --name t-b {box} sleep 60"),
            Run("update --restart always t-b", says=("autoremove is enabled",)),
        ),
    ),
    # names ------------------------------------------------------------------------------
    Case(
        "rename",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("create --name t-b {box} true", quiet=True),
            Run("rename t-a t-c"),
            Run("ps -a --format '{{.Names}}'"),
            Run("inspect -f '{{.Name}}' t-c"),
            Run("inspect t-a", says=("no such object",), quiet=True),
            Run("rename t-c t-b", says=("already in use",)),
            Run("rename t-c t-c", says=("same name",)),
            Run("rename t-c ''", says=("empty",)),
            Run("rename t-c -x", says=("unknown shorthand",)),
            Run("rename t-c 'a b'", says=("invalid container name",)),
            Run("rename t-nosuch t-d", says=("no such container",)),
            Run("exec t-c echo here"),
        ),
    ),
    # health -----------------------------------------------------------------------------
    Case(
        "health",
        (
            Run("run -d --name t-b --health-cmd true --health-interval 1h {box} sleep 60"),
            Run(f"{_HEALTH} t-b"),
            Run("rm -f t-b"),
            Run(f"run -d --name t-a --health-cmd 'test -e /ok' {_CHECK} {{box}} sleep 60"),
            Until(f"{_HEALTH} t-a", "unhealthy"),
            Run("ps --format '{{.Names}} {{.Status}}'"),
            Run("ps -q --filter health=healthy"),
            Run("ps --filter health=unhealthy --format '{{.Names}}'"),
            Run("exec t-a touch /ok"),
            Until("ps --filter health=healthy --format '{{.Names}}'", "t-a"),
            Run("ps --format '{{.Names}} {{.Status}}'"),
            Run(
                "inspect -f '{{.State.Health.FailingStreak}} {{len .State.Health.Log}}' t-a",
                quiet=True,
            ),
            Run("stop -t 0 t-a"),
            Run(f"{_HEALTH} t-a"),
            Run("start t-a"),
            Until(f"{_HEALTH} t-a", "healthy"),
        ),
    ),
    Case(
        "health: output, timeout, what can't run",
        (
            Run(f"run -d --name t-a --health-cmd 'echo out; exit 1' {_CHECK} {{box}} sleep 60"),
            Until(f"{_HEALTH} t-a", "unhealthy"),
            Run(
                "inspect -f '{{(index .State.Health.Log 0).ExitCode}} "
                "{{json (index .State.Health.Log 0).Output}}' t-a"
            ),
            Run(
                "run -d --name t-b --health-cmd 'sleep 50' --health-interval 0.3s "
                "--health-timeout 0.5s --health-retries 1 {box} sleep 60"
            ),
            Until(f"{_HEALTH} t-b", "unhealthy"),
            Run(
                "inspect -f '{{(index .State.Health.Log 0).ExitCode}} "
                "{{json (index .State.Health.Log 0).Output}}' t-b"
            ),
            Run("run -d --name t-c --no-healthcheck {box} sleep 60"),
            Run("inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' t-c"),
            Run("run -d --name t-d --health-cmd true --health-interval 1h {box} sleep 60"),
            Run("inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' t-d"),
        ),
    ),
    # looked at --------------------------------------------------------------------------
    Case(
        "top with options of ps",
        (
            Run("run -d --name t-a {box} sleep 60"),
            Run("top t-a -o args"),
            Run("top t-a -o user,args", says=("pid",)),
            Run("top t-a -o pid,args", quiet=True),
            Run("top t-a --nosuch", says=("ps",)),
            Run("stop -t 0 t-a"),
            Run("top t-a", says=("is not running",)),
        ),
    ),
    Case(
        "stats",
        (
            Run("run -d --name t-a -m 64m {box} sleep 60"),
            Run("stats --no-stream --format '{{.Name}} {{.PIDs}}' t-a"),
            Run("stats --no-stream --format '{{.Name}}'"),
            Run("stats --no-stream t-nosuch", says=("no such container",)),
            Run("stop -t 0 t-a"),
            Run("stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}' t-a"),
        ),
    ),
    Case(
        "with an init",
        (
            Run("run --rm --init {box} sh -c 'exit 7'"),
            Run("run --rm --init {box} sh -c 'kill -9 $$'"),
            Run("run --rm --init {box} nosuch", says=("nosuch",)),
            Run("run -d --name t-a --init {box} sleep 60"),
            Run("stop t-a"),
            Run(f"{_STATE} t-a"),
            Run("inspect -f '{{.HostConfig.Init}} {{.Path}}' t-a"),
            Run("run --rm --init {box} sh -c 'sleep 0 & exec sleep 0.2; ps | grep -c Z'"),
        ),
    ),
)
