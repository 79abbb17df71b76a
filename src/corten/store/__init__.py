"""The SQLite database: connections, transactions, numbered migrations, integrity."""

from corten.store.database import Database
from corten.store.lock import RootLock

__all__ = ["Database", "RootLock"]
