"""The allocator's free blocks, used up before the first fork.

CPython cuts pools of 16 KiB into blocks of one size. Imports leave nearly every pool with some
free ones, and a monitor that takes them writes to pages all over the memory that it shares
with the launcher. So the launcher takes them first, for good: what monitors make afterwards
lies together in fresh pools. Measured: 0.1 MB less per monitor, for about 1 MB once.
"""

from __future__ import annotations

_POOL = 16 << 10  # POOL_SIZE of Objects/obmalloc.c
_HEADER = 48  # of a pool: where its first block lies
_LARGEST = 512  # beyond, malloc is asked
_STEP = 16
_BYTES_HEAD = 33  # of a bytes object's own
_TRIES = 20_000  # an allocator that has no such pools is left alone after so many

_taken: list[bytes] = []


def use_up() -> None:
    """Take every free block of every size, until a fresh pool had to be begun."""
    for block in range(_STEP * 3, _LARGEST + 1, _STEP):
        _use_up_blocks(block - _BYTES_HEAD)


def _use_up_blocks(content: int) -> None:
    for _ in range(_TRIES):
        taken = bytes(content)
        _taken.append(taken)
        if id(taken) % _POOL == _HEADER:
            return
