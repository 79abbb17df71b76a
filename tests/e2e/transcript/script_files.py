"""Containers' files and images: copies, changes, archives, names, removal."""

from __future__ import annotations

from tests.e2e.transcript.steps import Case, Run

_FILL = (
    "run --name t-a {box} sh -c 'mkdir -p /d/sub; echo a >/d/f; ln -s f /d/l;"
    " ln -s /d/sub /d/dl; echo b >/d/sub/g; chmod 750 /d/sub'"
)

FILES = (
    Case(
        "cp out",
        (
            Run(_FILL),
            Run("cp t-a:/d {dir}/o"),
            Run("cp t-a:/d {dir}"),
            Run("cp t-a:/d/. {dir}/o/d"),
            Run("cp t-a:/d/f {dir}/name"),
            Run("cp t-a:/d/l {dir}/link"),
            Run("cp -L t-a:/d/l {dir}/followed"),
            Run("cp t-a:/d/sub/ {dir}/slash"),
            Run("run --rm -v {dir}:/x {box} sh -c 'cd /x; find . | sort; readlink link; cat name'"),
        ),
    ),
    Case(
        "cp out of what is not there",
        (
            Run(_FILL),
            Run("cp t-a:/nosuch {dir}/o", says=("t-a",)),
            Run("cp t-nosuch:/d {dir}/o", says=("no such container",)),
            Run("cp t-a:/d {dir}/no/such", says=("{dir}/no",)),
            Run("cp t-a:/d/f {dir}/no/", says=("no such directory",)),
        ),
    ),
    Case(
        "cp in",
        (
            Run(_FILL),
            Run("cp t-a:/d {dir}/o"),
            Run("cp {dir}/o t-a:/new"),
            Run("cp {dir}/o t-a:/d"),
            Run("cp {dir}/o/. t-a:/d/dl"),
            Run("cp {dir}/o/f t-a:/d/renamed"),
            Run("cp {dir}/o/f t-a:/d/sub/"),
            Run("cp {dir}/o/sub t-a:/d/f", says=("cannot copy directory",)),
            Run("cp {dir}/o/f t-a:/no/such", says=("/no",)),
            Run("cp {dir}/o/f t-a:/no/", says=("no such directory",)),
            Run("cp {dir}/nosuch t-a:/", says=("no such file or directory",)),
            Run("diff t-a", quiet=True),  # dockerd has no order
        ),
    ),
    Case("cp nowhere", (Run("cp /tmp /tmp/x", says=("must specify at least one",)),)),
    Case(
        "cp of a container that was never started",
        (
            Run("create --name t-a {box} true", quiet=True),
            Run("cp t-a:/etc/passwd {dir}/p"),
            Run("cp {dir}/p t-a:/etc/q"),
            Run("diff t-a"),
        ),
    ),
    Case(
        "diff",
        (
            Run("run --name t-a {box} sh -c 'echo >>/etc/passwd'"),
            Run("diff t-a"),
            Run("run --name t-b {box} sh -c 'rm /etc/group'"),
            Run("diff t-b"),
            Run("run --name t-c {box} sh -c 'mkdir /n; echo >/n/f'"),
            Run("diff t-c"),
            Run("diff t-nosuch", says=("no such container",)),
        ),
    ),
    Case(
        "commit",
        (
            Run(_FILL),
            Run(
                "commit -m why -a who -c 'CMD [\"cat\", \"/d/f\"]' -c 'ENV A=b' -c 'EXPOSE 80'"
                " -c 'LABEL k=v' -c 'WORKDIR /d' -c 'USER 7' t-a t-made:1",
            ),
            Run("run --rm t-made:1"),
            Run("run --rm t-made:1 sh -c 'id -u; pwd; echo $A'"),
            Run(
                "image inspect -f '{{.Comment}}|{{.Author}}|{{.Config.Cmd}}|{{.Config.User}}|"
                "{{.Config.WorkingDir}}|{{.Config.Labels}}|{{.Config.ExposedPorts}}' t-made:1"
            ),
            Run("history --format '{{.Comment}}' t-made:1", quiet=True),
            Run("commit -c 'RUN x' t-a", says=("is not a valid change command",)),
            Run("commit t-nosuch x", says=("no such container",)),
            Run("rmi t-made:1"),
        ),
    ),
    Case(
        "tag and rmi",
        (
            Run("tag {box} t-x:1"),
            Run("tag t-x:1 t-y:2"),
            Run("images --format '{{.Repository}}:{{.Tag}}' t-x"),
            Run("tag t-x:1 UPPER", says=("must be lowercase",)),
            Run("tag t-nosuch t-z", says=("no such image",)),
            Run("rmi t-x:1"),
            Run("rmi t-x:1", says=("no such image",)),
            Run("rmi t-y:2"),
        ),
    ),
    Case(
        "rmi of what is used",
        (
            Run("create --name t-a {box} true", quiet=True),
            Run("commit t-a t-b:1", quiet=True),
            Run("create --name t-b t-b:1 true", quiet=True),
            Run("rmi t-b:1", says=("unable to remove repository reference", "must force")),
            Run("tag t-b:1 t-c:1"),
            Run("rmi t-c:1"),
            Run("rmi -f t-b:1"),
            Run("inspect -f '{{.State.Status}}' t-b"),
            Run("rm t-b"),
            Run("image prune -f", quiet=True),
        ),
    ),
    Case(
        "export and import",
        (
            Run(_FILL),
            Run("export -o {dir}/x.tar t-a"),
            Run("import -c 'CMD cat /d/f' -m text {dir}/x.tar t-flat:1"),
            Run("run --rm t-flat:1"),
            Run("image inspect -f '{{.Comment}} {{.Config.Cmd}}' t-flat:1"),
            Run("rmi t-flat:1"),
            Run("import {dir}/nosuch", says=("no such file",)),
        ),
    ),
    Case(
        "save and load",
        (
            Run(_FILL),
            Run("commit t-a t-s:1", quiet=True),
            Run("tag t-s:1 t-s:2"),
            Run("save -o {dir}/s.tar t-s"),
            Run("rmi t-s:1 t-s:2"),
            Run("load -i {dir}/s.tar"),
            Run("run --rm t-s:2 cat /d/f"),
            Run("rmi t-s:1 t-s:2"),
            Run("save t-nosuch", says=("no such image",)),
            Run("load", stdin=b"no archive", says=("",)),
        ),
    ),
    Case(
        "prune",
        (
            Run("create --name t-a --label k=v {box} true", quiet=True),
            Run("create --name t-b {box} true", quiet=True),
            Run("container prune -f --filter label=k=v", quiet=True),
            Run("ps -a --format '{{.Names}}'"),
            Run("container prune -f", quiet=True),
            Run("ps -aq"),
            Run("system prune -f", quiet=True),
            Run("system df --format '{{.Type}} {{.Active}}'"),
        ),
    ),
)
