"""Rows of a published port: throughput and requests per second, from another machine."""

from __future__ import annotations

from collections.abc import Iterator

from bench.dockerhttp import Docker
from bench.image import NAME
from bench.outside import HOST, Outside
from bench.peers import Peers, listens, output
from bench.sampling import Row
from tests.support import eventually

SIZE = 400  # MB of one transfer
REQUESTS = 3000
_SERVER = f"mkdir /srv; dd if=/dev/zero of=/srv/big bs=1000000 count={SIZE}; echo hello >/srv/small"


class Server:
    """A web server of an engine at a published port."""

    def __init__(self, host: str, port: int) -> None:
        self.docker = Docker(host)
        self.url = f"http://{HOST}:{port}"
        config = {
            "Image": NAME,
            "Cmd": ["sh", "-c", f"{_SERVER}; exec httpd -f -p 80 -h /srv"],
            "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": str(port)}]}},
        }
        self.name = self.docker.start(f"traffic{port}", config)
        self.port = port

    def ready(self, outside: Outside) -> None:
        eventually(lambda: listens(HOST, self.port), deadline=60)
        eventually(lambda: self.rate(outside, 10) > 0, deadline=60)

    def speed(self, outside: Outside) -> float:
        """MB/s of one transfer."""
        words = ("curl", "-s", "-o", "/dev/null", "-w", "%{speed_download}", f"{self.url}/big")
        return float(outside.output(*words)) / 1e6

    def rate(self, outside: Outside, requests: int = REQUESTS) -> float:
        """Requests per second by eight connections."""
        text = outside.output("ab", "-q", "-n", str(requests), "-c", "8", f"{self.url}/small")
        line = next(x for x in text.splitlines() if x.startswith("Requests per second"))
        return float(line.split()[3])

    def close(self) -> None:
        self.docker.remove(self.name)
        self.docker.close()


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    speed = Row("TCP throughput through a published port", "MB/s", version, 1.05, better="more")
    rate = Row("requests per second at a published port", "/s", version, 1.05, better="more")
    with Outside() as outside:
        ours, theirs = Server(peers.ours().docker_host, 21001), Server(peers.docker_host(), 21002)
        try:
            for server in (ours, theirs):
                server.ready(outside)
            for index in range(samples):
                pair = ((ours, speed.ours, rate.ours), (theirs, speed.theirs, rate.theirs))
                for server, speeds, rates in pair if index % 2 else reversed(pair):
                    speeds.append(server.speed(outside))
                    rates.append(server.rate(outside))
        finally:
            ours.close()
            theirs.close()
    yield speed
    yield rate
