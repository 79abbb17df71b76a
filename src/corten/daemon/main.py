"""``cortend``: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import time
from contextlib import AsyncExitStack

from corten.daemon import arguments, places, wiring
from corten.daemon import config as configuration
from corten.daemon.config import Config
from corten.daemon.faces import Faces
from corten.daemon.notify import notify
from corten.errors import CortenError
from corten.kernel.creds import set_name
from corten.store import Database, RootLock

_log = logging.getLogger("cortend")
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def main() -> None:
    """Run until SIGTERM or SIGINT; exit status 1 if it can't start, and why on stderr."""
    options = arguments.parse(sys.argv[1:])
    try:
        status = _work(options)
    except CortenError as error:
        hint = f"\n  {error.hint}" if error.hint else ""
        sys.stderr.write(f"cortend: {error}{hint}\n")
        status = 1
    sys.stderr.flush()
    # A thread that hangs in the kernel (NFS) must not keep the process.
    os._exit(status)


def _work(options: argparse.Namespace) -> int:
    if options.shutdown:
        return _shut_down(options)
    if options.restart:
        return _restart(options)
    return _serve(options)


def _restart(options: argparse.Namespace) -> int:
    from corten.daemon.restart import restart

    sys.stdout.write(f"cortend: {restart(state=options.state)}\n")
    sys.stdout.flush()
    return 0


def _shut_down(options: argparse.Namespace) -> int:
    from corten.daemon.shutdown import shut_down

    shut_down(root=options.root, state=options.state, config=options.config, purge=options.purge)
    return 0


def _serve(options: argparse.Namespace) -> int:
    config = configuration.load(options.config)
    _set_up_logging("debug" if options.debug else config.daemon.log_level)
    _set_up_process()
    # The loop and the threads of database and files hand each other small things: whoever has
    # to wait for the interpreter waits less.
    sys.setswitchinterval(0.0005)
    places.make(options.root, options.state)
    locks = [RootLock(f"{options.state}/lock"), RootLock(f"{options.root}/lock")]
    db = Database(f"{options.root}/corten.db")
    try:
        asyncio.run(_run(options, config, db))
    finally:
        db.close()
        for lock in locks:
            lock.release()
    return 0


async def _run(options: argparse.Namespace, config: Config, db: Database) -> None:
    begun = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, options)
    async with AsyncExitStack() as stack:
        engine = await wiring.build(config, db, root=options.root, state=options.state, stack=stack)
        faces = Faces(engine, config, root=options.root, state=options.state)
        stack.push_async_callback(faces.close)
        await faces.start()
        # What lives from here on lives long: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        notify("READY=1")
        _log.info(
            "ready at %s after %.2f s (root %s, prefix %s)",
            options.state,
            time.monotonic() - begun,
            options.root,
            places.prefix(options.state),
        )
        await stop.wait()
        notify("STOPPING=1")
        _log.info("stopping; containers go on")


def _reload(options: argparse.Namespace) -> None:
    """SIGHUP: the log level is taken over at once, the rest of the file by a restart."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        config = configuration.load(options.config)
    except CortenError as error:
        _log.error("not reloaded: %s", error)
    else:
        logging.getLogger().setLevel(config.daemon.log_level.upper())
        _log.info("reloaded %s: log level %s", options.config, config.daemon.log_level)
    notify("READY=1")


class _JournalFormatter(logging.Formatter):
    """The journal takes the priority from ``<N>`` at a line's start, and has the time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{super().format(record)}"


def _set_up_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        text = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        handler.setFormatter(logging.Formatter(text))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _set_up_process() -> None:
    set_name("cortend")  # for ps, top and pgrep: else an interpreter among others
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
