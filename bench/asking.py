"""``asking.py ADDRESS PORT``: requests over and over; prints a line after the first answer, and
at SIGTERM how many were answered and asked."""

from __future__ import annotations

import signal
import socket
import sys
import time

PAUSE = 0.005  # seconds between two requests


def answered(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5) as sock:
            sock.sendall(b"GET /passwd HTTP/1.0\r\n\r\n")
            return sock.recv(4096).startswith(b"HTTP/1.")
    except OSError:
        return False


def main() -> None:
    address, port = sys.argv[1], int(sys.argv[2])
    while not answered(address, port):
        time.sleep(0.05)
    ends: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ends.append(number))
    print(flush=True)
    count = good = 0
    while not ends:
        count += 1
        good += answered(address, port)
        time.sleep(PAUSE)
    print(good, count)


if __name__ == "__main__":
    main()
