"""The public Python API: a client of the daemon's native protocol.

>>> from corten.client import Client
>>> client = Client()
>>> client.containers.run("hello").code
0
"""

from __future__ import annotations

from corten.client.api import Client, Containers, Images, Networks, Pods
from corten.client.connection import Connection, ConnectionLost
from corten.client.records import Container, Image, LogLine, Network, Pod, Result
from corten.client.streams import Stream

__all__ = [
    "Client", "Connection", "ConnectionLost", "Container", "Containers", "Image", "Images",
    "LogLine", "Network", "Networks", "Pod", "Pods", "Result", "Stream",
]  # fmt: skip
