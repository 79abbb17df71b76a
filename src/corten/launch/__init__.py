"""Launcher, monitor, logs, terminals, exit codes; the Runtime protocol with its native and
its binary implementation. The engine uses ``client``, ``spawning`` and ``messages``."""
