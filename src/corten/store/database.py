"""The SQLite database: one writer thread with group commit, readers that never wait for it."""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from corten.errors import CortenError, DataLoss, Unavailable
from corten.store.errors import translate
from corten.store.migrate import Migration, migrate, shipped

T = TypeVar("T")
Transaction = Callable[[sqlite3.Connection], T]

_BATCH = 128  # transactions that share one commit
_BUSY_MS = 5000  # another program (a backup, a person with sqlite3) may hold the lock
_READERS = 2


class _Job:
    """One transaction on its way through the writer."""

    __slots__ = ("durable", "error", "fn", "future", "hooks", "loop", "value")

    def __init__(
        self,
        fn: Transaction[Any],
        durable: bool,
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        on_commit: Callable[[Any], None] | None,
    ) -> None:
        self.fn = fn
        self.durable = durable
        self.future = future
        self.loop = loop
        self.hooks: list[Callable[[Any], None]] = [] if on_commit is None else [on_commit]
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Run the commit's hooks and answer the caller (on the caller's loop)."""
        if self.error is None:
            for hook in self.hooks:
                hook(self.value)
        if self.future.done():  # the caller was cancelled; the commit stands
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


class Database:
    """One database file, opened for the life of the daemon.

    Durability: a write with ``durable`` is on the disk when its future resolves
    (``synchronous=FULL``); without, it survives the death of every process but may be
    lost, as a whole and never in the middle, when the power fails (``NORMAL``).
    """

    def __init__(self, path: str, *, migrations: list[Migration] | None = None) -> None:
        """Open, check and migrate; blocks, so call it before the loop runs.

        Arguments:
            path: the file; it is created with its schema where it does not exist.
            migrations: the schema; ``None``: what this version ships.

        Raises:
            FailedPrecondition: a newer version wrote the file.
            DataLoss: the file is damaged.
        """
        self.path = path
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._current: _Job | None = None
        self._writer = self._prepare(shipped() if migrations is None else migrations)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._thread = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._thread.start()

    # opening ---------------------------------------------------------------------------

    def _prepare(self, migrations: list[Migration]) -> sqlite3.Connection:
        try:
            # Before SQLite makes it with the umask's mode: records hold environments.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Unavailable(
                f"the database can't be made: {os.strerror(error.errno or 0)}",
                step="open database",
                path=self.path,
                errno=error.errno or 0,
            ) from error
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise DataLoss(
                    f"the database is damaged: {found}",
                    step="open database",
                    path=self.path,
                    hint="restore the data root from a backup",
                )
            migrate(connection, migrations, path=self.path)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, path=self.path, step="open database") from error
        except CortenError:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
        )
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    # writing ---------------------------------------------------------------------------

    async def write(
        self,
        fn: Transaction[T],
        *,
        durable: bool = True,
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        """Run ``fn(connection)`` as one transaction on the writer thread.

        Returns its value after the commit. Whatever ``fn`` raises undoes what it did and
        nothing else, although transactions share commits. ``fn`` must not commit.

        Arguments:
            fn: called once, on the writer thread; it touches nothing but the connection.
            durable: on the disk before this returns, see the class.
            on_commit: called with the value on the loop, in the order of the commits,
                before anybody's ``await`` returns, even if the awaiting task is gone.

        Raises:
            CortenError: from SQLite's errors (disk full, damaged); or what ``fn`` raised.
        """
        return await self.begin(fn, durable=durable, on_commit=on_commit)

    def begin(
        self,
        fn: Transaction[T],
        *,
        durable: bool = True,
        on_commit: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        """:meth:`write` for somebody who awaits it later."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Job(fn, durable, future, loop, on_commit))
        return future

    def write_blocking(self, fn: Transaction[T], *, durable: bool = True) -> T:
        """:meth:`write` for a thread without a loop (workers, start-up, tests)."""
        future: Future[T] = Future()
        self._put(_Job(fn, durable, future, None, None))
        return future.result()

    def after_commit(self, hook: Callable[[], None]) -> None:
        """From inside a transaction: call ``hook`` as ``on_commit`` is called, see
        :meth:`write`. For code that takes part in somebody else's transaction."""
        assert self._current is not None, "after_commit is for transactions"
        self._current.hooks.append(lambda _value: hook())

    def _put(self, job: _Job) -> None:
        if self._closed:
            raise Unavailable("the database is closed", path=self.path)
        self._queue.put(job)

    def _write_loop(self) -> None:
        synchronous = ""
        while (first := self._queue.get()) is not None:
            batch, ends = self._batch(first)
            wanted = "FULL" if any(job.durable for job in batch) else "NORMAL"
            if wanted != synchronous:
                self._writer.execute(f"PRAGMA synchronous={wanted}")
                synchronous = wanted
            self._commit(batch)
            _answer(batch)
            if ends:
                break

    def _batch(self, first: _Job) -> tuple[list[_Job], bool]:
        """What waits already shares the first one's commit; nothing waits for more."""
        batch = [first]
        while len(batch) < _BATCH:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                self._run(connection, job)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = translate(error, path=self.path, step="commit")
            for job in batch:
                job.error = job.error or failure
            self._roll_back()

    def _run(self, connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT job")
        self._current = job
        try:
            job.value = job.fn(connection)
        except sqlite3.Error as error:
            job.error = translate(error, path=self.path)
        except BaseException as error:
            job.error = error
        if not connection.in_transaction:
            # Some errors (a full disk) make SQLite roll back everything by itself.
            raise sqlite3.OperationalError(f"the transaction was rolled back: {job.error}")
        if job.error is not None:
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    # reading ---------------------------------------------------------------------------

    def read(self, fn: Transaction[T]) -> T:
        """Run ``fn(connection)`` on this thread, on the last committed state.

        For small indexed look-ups: it waits for no writer, but for the disk it may.
        Larger ones go through :meth:`query`.
        """
        try:
            return fn(self._reader())
        except sqlite3.Error as error:
            raise translate(error, path=self.path) from error

    async def query(self, fn: Transaction[T]) -> T:
        """:meth:`read` on a reader thread, for what may take long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.read, fn)

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._guard:
                self._connections.append(connection)
        return connection

    # the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Finish what is queued, then close. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown()
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._writer.close()


def _answer(batch: list[_Job]) -> None:
    """Settle the jobs in order, with one wake-up per loop."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[_Job]] = {}
    for job in batch:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if loop is None:
            _settle(jobs)
            continue
        try:
            loop.call_soon_threadsafe(_settle, jobs)
        except RuntimeError:  # the loop has ended; the commits stand
            continue


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()
