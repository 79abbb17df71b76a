"""The program that touches containers' files and archives that come from clients.

Started with a job (JSON) as its argument. Archives come and go over descriptors of the job;
standard output carries JSON objects, one a line: ``item`` (something to know early), and at last
``ok`` or ``error``.
"""

from __future__ import annotations

import os
import resource
import sys
from errno import ECONNRESET, EDQUOT, ENOSPC, EPIPE

from corten.errors import Cancelled, CortenError, Internal, InvalidArgument, ResourceExhausted
from corten.images.trees import changes, lookup, pack, place, put, spool, stream, users
from corten.images.trees.lower import Lower
from corten.images.trees.place import Place
from corten.images.unpack import confine, source, tar
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Job = dict[str, Any]

_FREE = 100 << 20  # unpacked bytes before the ratio is looked at
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def main() -> None:
    """Entry point of the program."""
    job = jsonlite.loads(sys.argv[1], what="job")
    try:
        confine.die_with_parent(job["parent"])
        _raise_limit()
        os.umask(0)
        answer: dict[str, Any] = {"ok": _OPERATIONS[job["op"]](job)}
    except CortenError as error:
        answer = {"error": error.to_dict()}
    except OSError as error:
        answer = {"error": _explain(error, job["op"]).to_dict()}
    except (MemoryError, RecursionError):
        text = "it needs more memory than is allowed"
        answer = {"error": InvalidArgument(text, step=job["op"]).to_dict()}
    _say(answer)


def _raise_limit() -> None:
    """Descriptors: a directory costs one for as long as what is below it is read."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# a container's files -------------------------------------------------------------------------


def _enter(job: Job) -> Place:
    where = place.enter(job["where"], job["scratch"])
    confine.drop_privileges()
    return where


def _stat(job: Job) -> Any:
    where = _enter(job)
    path = lookup.clean(os.fsencode(job["path"]))
    fd = lookup.find(where.root, path)
    return lookup.describe(where.root, path, fd)


def _read(job: Job) -> Any:
    where = _enter(job)
    path = lookup.clean(os.fsencode(job["path"]))
    fd = lookup.find(where.root, path)
    _say({"item": lookup.describe(where.root, path, fd)})
    out = stream.Outgoing(job["out"])
    packer = pack.Packer(out, where.proc)
    packer.tree(fd, lookup.base_name(path))
    packer.end()
    out.flush()
    return None


def _export(job: Job) -> Any:
    where = _enter(job)
    _say({"item": None})
    out = stream.Outgoing(job["out"])
    packer = pack.Packer(out, where.proc, one_mount=True)
    packer.contents(where.root)
    packer.end()
    out.flush()
    return None


def _write(job: Job) -> Any:
    incoming = stream.Incoming(job["in"], job["patience"])
    _say({"item": None})
    chunks = _Bounded(incoming, source.chunks(incoming), job["ratio"])
    where = _enter(job)
    path = lookup.clean(os.fsencode(job["path"]))
    target = lookup.evaluate(where.root, path)
    _check_directory(where.root, target, path)
    owner = users.find(where.root, job["owner"]) if job["owner"] else None
    placer = put.Placer(where.root, target, keep_kinds=job["keep_kinds"], owner=owner)
    reader = tar.Reader(chunks)
    for entry, data in reader:
        placer.apply(entry, data)
    reader.drain()
    placer.finish()
    return None


def _check_directory(root: int, target: bytes, path: bytes) -> None:
    fd = lookup.find(root, target)
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o040000:
            raise InvalidArgument(f"extraction point is not a directory: {os.fsdecode(path)}")
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            raise put.read_only()
    finally:
        os.close(fd)


# a container's own layer ---------------------------------------------------------------------


def _changes(job: Job) -> tuple[int, Iterator[changes.Change], Place]:
    overlay = bool(job["overlay"])
    lower = Lower(job["layers"], overlay=overlay)
    where = place.enter(job["where"], job["scratch"])
    confine.drop_privileges("CAP_SYS_ADMIN")  # overlayfs's attributes are "trusted"
    root = os.open(".", _DIRECTORY, dir_fd=where.root)
    return root, changes.Upper(root, lower, overlay=overlay).changes(), where


def _diff(job: Job) -> Any:
    _, found, _ = _changes(job)
    batch: list[list[Any]] = []
    for change in found:
        batch.append([os.fsdecode(b"/" + change.path), change.kind])
        if len(batch) >= 1000:
            _say({"item": batch})
            batch = []
    _say({"item": batch})
    return None


def _layer(job: Job) -> Any:
    packed = stream.Packed(job["out"])
    out = stream.Buffered(packed)
    root, found, where = _changes(job)
    packer = pack.Packer(out, where.proc)
    count = changes.write_layer(root, found, packer, out)
    packer.end()
    out.flush()
    diff_id, digest, size = packed.finish()
    return {"diff_id": diff_id, "digest": digest, "size": size, "members": count}


# archives of clients -------------------------------------------------------------------------


def _spool(job: Job) -> Any:
    incoming = stream.Incoming(job["in"], 0)
    _say({"item": None})
    chunks = _Bounded(incoming, source.chunks(incoming), job["ratio"])
    confine.enter(job["directory"])
    root = os.open("/", _DIRECTORY)
    confine.drop_privileges()
    spooled = spool.Spool(root, job["limit"])
    reader = tar.Reader(chunks)
    for entry, data in reader:
        spooled.add(entry, data)
    reader.drain()
    return spooled.answer


def _import(job: Job) -> Any:
    incoming = stream.Incoming(job["in"], 0)
    _say({"item": None})
    chunks = _Bounded(incoming, source.chunks(incoming), job["ratio"])
    out = stream.Packed(job["out"])
    place.enter({"kind": "none"}, job["scratch"])
    confine.drop_privileges()
    return spool.one_layer(chunks, out)


class _Bounded:
    """Breaks off what grows beyond all measure while it is unpacked."""

    def __init__(self, incoming: stream.Incoming, chunks: Iterator[bytes], ratio: int) -> None:
        self._incoming = incoming
        self._chunks = chunks
        self._ratio = ratio
        self._unpacked = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._unpacked += len(chunk)
        if self._unpacked > _FREE and self._unpacked > self._incoming.position * self._ratio:
            raise InvalidArgument(
                f"the archive unpacks to more than {self._ratio} times its size: it is refused",
                hint="[images] max_ratio in the configuration raises the limit",
            )
        return chunk


_OPERATIONS: dict[str, Callable[[Job], Any]] = {
    "stat": _stat,
    "read": _read,
    "export": _export,
    "write": _write,
    "diff": _diff,
    "layer": _layer,
    "spool": _spool,
    "import": _import,
}


def _explain(error: OSError, step: str) -> CortenError:
    number = error.errno or 0
    text = os.strerror(number)
    name = "" if error.filename is None else os.fsdecode(error.filename)
    if number in (ENOSPC, EDQUOT):
        return ResourceExhausted(text, step=step, errno=number, hint="free space and try again")
    if number in (EPIPE, ECONNRESET):
        return Cancelled("the client is gone", step=step)
    return Internal(text, step=step, path=name, errno=number)


def _say(message: dict[str, Any]) -> None:
    line = jsonlite.dumpb(message) + b"\n"
    while line:
        line = line[os.write(1, line) :]
