"""The unpack worker: one layer, from a packed file to a directory.

Started with a job (JSON) as its argument; reads announcements from standard input while the
blob is still being downloaded, writes one JSON object a line to standard output: progress, and
at last ``ok`` or ``error``. What it made counts only if the daemon says so: killed at any
point, it leaves a directory that is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import sys

from corten.errors import CortenError, DataLoss, Internal, InvalidArgument, ResourceExhausted
from corten.images.unpack import apply, confine, source, tar
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_REPORT = 4 << 20  # packed bytes between two reports
_FREE = 100 << 20  # unpacked bytes before the ratio is looked at
_FULL = (28, 122)  # ENOSPC, EDQUOT


def main() -> None:
    """Entry point of the program."""
    job = jsonlite.loads(sys.argv[1], what="job")
    try:
        answer = {"ok": run(job)}
    except CortenError as error:
        answer = {"error": error.to_dict()}
    except OSError as error:
        answer = {"error": _explain(error).to_dict()}
    except MemoryError:
        answer = {
            "error": InvalidArgument(
                "the layer needs more memory to unpack than is allowed", step="unpack layer"
            ).to_dict()
        }
    _say(answer)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Unpack as ``job`` says: ``blob`` and ``follow`` (descriptors), ``target`` (directory),
    ``overlay``, ``diff_id``, ``limit`` (bytes), ``ratio``, ``confine``, ``parent`` (process)."""
    if job["parent"]:
        confine.die_with_parent(job["parent"])
    blob = source.Growing(job["blob"], job["follow"])
    archive = _Meter(blob, source.chunks(blob), job["ratio"], job["report"])
    os.umask(0)
    inside = job["confine"] and confine.enter(job["target"])
    root = os.open("/" if inside else job["target"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if job["confine"]:
        confine.drop_privileges()
    applier = apply.Applier(root, overlay=job["overlay"], limit=job["limit"])
    reader = tar.Reader(archive)
    for entry, data in reader:
        applier.apply(entry, data)
    reader.drain()
    applier.finish()
    if archive.diff_id != job["diff_id"]:
        raise DataLoss(
            f"the layer's contents are {archive.diff_id}, not {job['diff_id']} as the image says",
            step="verify layer",
            hint="the image or the registry is damaged; pull it again",
        )
    return {
        "size": applier.size,
        "inodes": applier.inodes,
        "packed": blob.position,
        "confined": inside,
        "opaque": [os.fsdecode(path) for path in applier.opaque],
        "implicit": [os.fsdecode(path) for path in applier.implicit],
    }


class _Meter:
    """Hashes what passes, reports, and breaks off what grows beyond all measure."""

    def __init__(
        self, blob: source.Growing, chunks: Iterator[bytes], ratio: int, report: bool
    ) -> None:
        self._blob = blob
        self._chunks = chunks
        self._ratio = ratio
        self._report = report
        self._hash = hashlib.sha256()
        self._unpacked = 0
        self._reported = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._hash.update(chunk)
        self._unpacked += len(chunk)
        packed = self._blob.position
        if self._unpacked > _FREE and self._unpacked > packed * self._ratio:
            raise InvalidArgument(
                f"the layer unpacks to more than {self._ratio} times its size: it is refused",
                step="unpack layer",
                hint="[images] max_ratio in the configuration raises the limit",
            )
        if self._report and packed - self._reported >= _REPORT:
            self._reported = packed
            _say({"progress": packed})
        return chunk

    @property
    def diff_id(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _explain(error: OSError) -> CortenError:
    text = os.strerror(error.errno or 0)
    if error.errno in _FULL:
        return ResourceExhausted(
            text, step="unpack layer", errno=error.errno, hint="free space and try again"
        )
    name = "" if error.filename is None else os.fsdecode(error.filename)
    return Internal(text, step="unpack layer", path=name, errno=error.errno or 0)


def _say(message: dict[str, Any]) -> None:
    line = jsonlite.dumpb(message) + b"\n"
    while line:
        line = line[os.write(1, line) :]
