"""Reading containers' logs: both formats, across rotations, from the end, and following."""

from corten.engine.logs.reader import Query, read_log

__all__ = ["Query", "read_log"]
