"""Volumes: named and anonymous, what the image has there, who removes them, what is shown."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run

_MOUNTS = (
    "inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Mode}} {{.RW}} {{.Driver}};{{end}}'"
)
_POINT = (
    "inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Mode}} {{.RW}} "
    "{{json .Propagation}}{{end}}'"
)
_LIST = (
    "sh -c 'ls -ln /data | tail -n +2 | awk \"{print \\$1, \\$2, \\$3, \\$4, \\$9, \\$10, \\$11}\"'"
)

VOLUMES = (
    # by themselves ----------------------------------------------------------------------
    Case(
        "volume create, list, inspect, remove",
        (
            Run("volume create t-one"),
            Run("volume create t-one"),
            Run("volume create --label a=b --label c t-two"),
            Run("volume ls"),
            Run("volume ls -q"),
            Run("volume ls -f name=two -q"),
            Run("volume ls -f label=a -q"),
            Run("volume ls -f label=a=c -q"),
            Run("volume ls -f driver=local -q"),
            Run("volume ls -f dangling=true -q"),
            Run("volume ls -f dangling=false -q"),
            Run("volume ls -f dangling=x -q", says=("invalid filter 'dangling=",)),
            Run("volume ls -f nosuch=x -q", says=("nosuch",)),
            Run("volume ls --format '{{.Driver}} {{.Name}} {{.Scope}} {{.Label \"a\"}}'"),
            Run("volume inspect -f '{{.Name}} {{.Scope}} {{.Labels}} {{.Options}}' t-two"),
            Run("volume inspect -f '{{json .Labels}} {{json .Options}}' t-one"),
            Run("volume rm t-one t-two"),
            Run("volume ls -q"),
        ),
    ),
    Case(
        "volume that is not there",
        (
            Run("volume inspect t-nosuch", says=("no such volume",)),
            Run("volume rm t-nosuch", says=("no such volume",)),
            Run("volume rm -f t-nosuch"),
        ),
    ),
    Case(
        "volume names and options that can't be",
        (
            Run("volume create x", says=("volume name is too short",)),
            Run("volume create .x", says=("includes invalid characters",)),
            Run("volume create 'a b'", says=("includes invalid characters",)),
            Run("volume create -d nosuch t-one", says=("nosuch",)),
            Run("volume create -o nosuch=1 t-one", says=("nosuch",)),
            Run("volume create -o type=tmpfs t-one", says=("device",)),
            Run("volume create -o device=tmpfs t-one", says=("type",)),
            Run("volume ls -q"),
        ),
    ),
    # in containers ----------------------------------------------------------------------
    Case(
        "named volume keeps its files",
        (
            Run("run --rm -v t-data:/d {box} sh -c 'echo kept > /d/f'"),
            Run("run --rm -v t-data:/d {box} cat /d/f"),
            Run("run --rm -v t-data:/d:ro {box} sh -c 'echo no > /d/g'", says=("read-only",)),
            Run(
                "run --rm --mount src=t-data,dst=/d,readonly {box} sh -c 'echo no > /d/g'",
                says=("read-only",),
            ),
            Run("run --rm --mount type=volume,source=t-data,target=/e {box} cat /e/f"),
            Run("volume ls -q"),
            Run("volume rm t-data"),
        ),
    ),
    Case(
        "volume in use",
        (
            Run("create --name t-a -v t-used:/d {box} true", quiet=True),
            Run("volume rm t-used", says=("volume is in use",)),
            Run("volume rm -f t-used", says=("volume is in use",)),
            Run("volume ls -q -f dangling=false"),
            Run("ps -a --format '{{.Names}} {{.Mounts}} {{.LocalVolumes}}'"),
            Run("ps -a --filter volume=t-used --format '{{.Names}}'"),
            Run("ps -a --filter volume=/d --format '{{.Names}}'"),
            Run("ps -a --filter volume=/nosuch --format '{{.Names}}'"),
            Run("rm t-a"),
            Run("volume rm t-used"),
        ),
    ),
    Case(
        "anonymous volume",
        (
            Run("run --name t-a -v /anon {box} sh -c 'echo x > /anon/f; cat /anon/f'"),
            Run("volume ls"),
            Run(f"{_MOUNTS} t-a"),
            Run("inspect -f '{{json .Config.Volumes}} {{json .HostConfig.Binds}}' t-a"),
            Run("rm t-a"),
            Run("volume ls -q"),
            Run("run --name t-a -v /anon {box} true"),
            Run("rm -v t-a"),
            Run("volume ls -q"),
            Run("run --rm -v /anon {box} true"),
            Run("volume ls -q"),
        ),
    ),
    Case(
        "named volume stays with rm -v",
        (
            Run("run --name t-a -v t-stays:/d {box} true"),
            Run("rm -v t-a"),
            Run("run --rm -v t-stays:/d {box} true"),
            Run("volume ls -q"),
        ),
    ),
    # the image --------------------------------------------------------------------------
    Case(
        "volume of the image",
        (
            Run(f"run --name t-a {{volumes}} {_LIST}"),
            Run(f"{_MOUNTS} t-a"),
            Run("inspect -f '{{json .Config.Volumes}}' t-a"),
            Run("run --rm {volumes} cat /data/seed /data/link /data/sub/deep"),
            Run("run --rm {volumes} stat -c '%a %u %g' /data /data/sub /data/seed"),
            Run(
                "run --rm {volumes} sh -c 'stat -c %h /data/hard; test -p /data/pipe && echo pipe'"
            ),
            Run("rm -v t-a"),
            Run("volume ls -q"),
        ),
    ),
    Case(
        "copy-up into a named volume",
        (
            Run("run --rm -v t-fresh:/data {volumes} cat /data/seed"),
            Run("run --rm -v t-fresh:/d {box} sh -c 'stat -c \"%a %u %g\" /d; echo new > /d/seed'"),
            Run("run --rm -v t-fresh:/data {volumes} cat /data/seed"),
            Run("run --rm -v t-full:/d {box} touch /d/own"),
            Run("run --rm -v t-full:/data {volumes} ls /data"),
            Run("run --rm -v t-no:/data:nocopy {volumes} ls -a /data"),
            Run("run --rm --mount src=t-no2,dst=/data,volume-nocopy {volumes} ls /data"),
            Run("run --rm -v t-none:/nosuch/deep {volumes} stat -c '%a %u %g' /nosuch/deep"),
            Run("run --rm -v t-etc:/usr/local/bin {box} ls /usr/local/bin"),
        ),
    ),
    Case(
        "through a link of the image",
        (
            Run("run --rm -v t-link:/linked {volumes} sh -c 'ls /linked; ls /data/sub'"),
            Run("run --rm -v t-out:/outside {volumes} sh -c 'ls -a /outside'"),
        ),
    ),
    Case(
        "bind instead of the image's volume",
        (
            Run("run --name t-a -v {dir}:/data {volumes} ls -a /data"),
            Run("volume ls -q"),
            Run(f"{_MOUNTS} t-a"),
        ),
    ),
    # other containers' ------------------------------------------------------------------
    Case(
        "volumes from",
        (
            Run("create --name t-a -v t-shared:/d -v /anon {box} true", quiet=True),
            Run("run --rm --volumes-from t-a {box} sh -c 'echo s > /d/f; echo a > /anon/f'"),
            Run(
                "run --rm --volumes-from t-a:ro {box} sh -c 'cat /d/f /anon/f; echo x > /d/g'",
                says=("read-only",),
            ),
            Run("run --name t-b --volumes-from t-a {box} cat /d/f /anon/f"),
            Run("inspect -f '{{json .HostConfig.VolumesFrom}} {{len .Mounts}}' t-b"),
            Run("rm -v t-a"),
            Run("volume ls -q", quiet=True),
            Run("start -a t-b"),
            Run("rm -v t-b"),
            Run("volume ls -q"),
            Run("run --rm --volumes-from t-nosuch {box} true", says=("no such container",)),
            Run("run --rm --volumes-from t-a:x {box} true", says=("x",)),
        ),
    ),
    # shown ------------------------------------------------------------------------------
    Case(
        "volume in inspect",
        (
            Run("create --name t-a -v t-two:/two:ro,nocopy {box} true", quiet=True),
            Run("inspect -f '{{json .HostConfig.Binds}} {{json .HostConfig.Mounts}}' t-a"),
            Run(f"{_POINT} t-a"),
            Run("create --name t-b -v t-one:/one {box} true", quiet=True),
            Run(f"{_POINT} t-b"),
            Run("create --name t-c --mount src=t-three,dst=/three {box} true", quiet=True),
            Run("inspect -f '{{json .HostConfig.Binds}} {{json .HostConfig.Mounts}}' t-c"),
            Run(f"{_POINT} t-c"),
            Run("create --name t-d -v {dir}:/dir:ro {box} true", quiet=True),
            Run(f"{_POINT} t-d"),
        ),
    ),
    Case(
        "mounts that can't be",
        (
            Run("run --rm -v t-a:/d -v t-b:/d {box} true", says=("duplicate mount point",)),
            Run("run --rm -v t-a:d {box} true", says=("must be absolute",)),
            Run("run --rm -v t-a:/ {box} true", says=("destination can't be '/'",)),
            Run("run --rm -v t-a:/d:nosuch {box} true", says=("invalid mode",)),
            Run(
                "run --rm --mount type=bind,src=/nosuch/dir,dst=/d {box} true",
                says=("bind source path does not exist",),
            ),
            Run("run --rm --mount src=t-a {box} true", says=("target",)),
            Run("run --rm -v /bin/busybox {box} true", says=("file exists",)),
        ),
    ),
    Case(
        "tmpfs and bind volumes of the local driver",
        (
            Run("volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=1000 t-tmp"),
            Run("run --rm -v t-tmp:/d {box} stat -c %u /d"),
            Run("run --rm -v t-tmp:/d {box} sh -c 'grep /d.tmpfs /proc/mounts | grep -o size=.*k'"),
            Run("volume create -o type=none -o device={dir} -o o=bind t-bind"),
            Run("run --rm -v t-bind:/d {box} sh -c 'echo b > /d/f'"),
            Run("run --rm -v {dir}:/d {box} cat /d/f"),
            Run("volume inspect -f '{{json .Options}}' t-tmp"),
            Run("volume create -o type=none -o device=/nosuch/dir -o o=bind t-gone"),
            Run("run --rm -v t-gone:/d {box} true", says=("no such file or directory",)),
            Run(
                "run --rm --mount 'src=t-opt,dst=/d,volume-driver=local,volume-opt=type=tmpfs,"
                "volume-opt=device=tmpfs,volume-label=a=b' {box} true"
            ),
            Run("volume inspect -f '{{json .Options}} {{json .Labels}}' t-opt"),
        ),
    ),
    Case(
        "volume prune",
        (
            Run("volume create t-one"),
            Run("create --name t-a -v t-used:/d {box} true", quiet=True),
            Run("volume prune -f --filter label=nosuch"),
            Run("volume ls -q"),
        ),
    ),
)
