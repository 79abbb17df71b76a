"""The embedded default image: a shell, a few tools, and what a container sees from inside."""

from __future__ import annotations

from corten.errors import CortenError
from corten.images.host.archive import Extra
from corten.images.host.closure import Closure

NAME = "hello:latest"
# Written into the image; one of another version is made anew.
LABEL = "dev.corten.hello"
VERSION = "1"

PROGRAMS = (
    "sh",
    "cat",
    "cut",
    "date",
    "df",
    "dmesg",
    "echo",
    "env",
    "false",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mount",
    "ps",
    "readlink",
    "rm",
    "sed",
    "seq",
    "sleep",
    "stty",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "wc",
    "whoami",
    "yes",
)
REQUIRED = frozenset(("sh", "cat", "id", "readlink", "sleep", "true"))

_SCRIPT = rb"""#!/bin/sh
# What a container sees from inside. Shell built-ins wherever they do.
row() { printf '  %-14s %s\n' "$1" "$2"; }

id=
while read -r _ _ _ root where _; do
    case $where in
    /etc/hostname | /etc/hosts | /etc/resolv.conf)
        id=${root%/*} id=${id##*/}
        ;;
    /) rootfs=$root ;;
    esac
done </proc/self/mountinfo
read -r name </proc/sys/kernel/hostname
[ ${#id} -eq 64 ] || id=$name

printf '\nHello from a Corten container.\n\n'
row 'container id' "$id"
row 'host name' "$name"
row 'process id' "$$"
row 'user' "$(id)"
row 'kernel' "$(cat /proc/sys/kernel/ostype /proc/sys/kernel/osrelease | tr '\n' ' ')"

printf '\nNamespaces\n'
for kind in cgroup ipc mnt net pid user uts; do
    row "$kind" "$(readlink /proc/self/ns/$kind)"
done

printf '\nCgroup\n'
while IFS=: read -r number controllers path; do
    row "${controllers:-unified}" "$path"
done </proc/self/cgroup

printf '\nRoot file system\n'
while read -r source where type options _; do
    [ "$where" = / ] || continue
    case $options in rw*) how='read and write' ;; *) how='read only' ;; esac
    row "$type" "$how"
done </proc/mounts
row 'contents' "$(ls / | tr '\n' ' ')"

printf '\nTry:  corten run -it hello sh\n\n'
"""

EXTRAS = {"usr/bin/hello": Extra(content=_SCRIPT, mode=0o755)}
CMD = ("/usr/bin/hello",)


def collect() -> Closure:
    """The tools that this machine has; those the image can't do without must be there. Blocks."""
    closure = Closure()
    for name in PROGRAMS:
        try:
            closure.add_program(name)
        except CortenError:
            if name in REQUIRED:
                raise
    return closure
