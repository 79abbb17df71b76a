"""docker-compose (Debian's 1.29, over docker-py) brings services up and down over the socket."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.network_lab import NetnsDaemon
from tests.support import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="needs docker-compose"
)

FILE = """\
version: "3.7"
services:
  web:
    image: tools
    command:
      - /bin/busybox
      - sh
      - -c
      - echo hello >/index.html && exec busybox httpd -f -p 80 -h /
    ports: ["8080:80"]
    networks:
      front:
        aliases: [www]
      back: {}
    stop_grace_period: 1s
    depends_on: [db]
  db:
    image: tools
    command: ["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
    hostname: database
    networks:
      back:
        ipv4_address: 10.77.0.9
    volumes: ["data:/data"]
    stop_grace_period: 1s
networks:
  front:
    labels: {purpose: test}
  back:
    internal: true
    ipam:
      config: [{subnet: 10.77.0.0/24}]
volumes:
  data: {}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[NetnsDaemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = NetnsDaemon()
    made.start()
    try:
        from corten.client import Client

        with Client(str(made.state / "corten.sock")) as client:
            client.images.from_host("tools", ["/bin/busybox"])
        yield made
    finally:
        made.close()


def compose(server: NetnsDaemon, directory: Path, *words: str) -> str:
    """What it prints, on both outputs; it must end with 0."""
    env = {**os.environ, "DOCKER_HOST": server.docker_host, "COMPOSE_PROJECT_NAME": "proj"}
    done = subprocess.run(
        ["docker-compose", "--no-ansi", *words],
        cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_up_and_down(server: NetnsDaemon, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(FILE)
    compose(server, tmp_path, "up", "-d")
    listed = compose(server, tmp_path, "ps")
    assert "proj_web_1" in listed and "0.0.0.0:8080->80/tcp" in listed and "Up" in listed

    def fetch(*words: str) -> str:
        done = server.docker("exec", *words, check=False)
        return done.stdout.strip()

    url = ("/bin/busybox", "wget", "-q", "-O", "-")
    for name in ("web", "www", "proj_web_1"):
        words = (*url, f"http://{name}/index.html")
        eventually(lambda asked=words: fetch("proj_web_1", *asked) == "hello", what=name)  # type: ignore[misc] # bound default
    eventually(lambda: fetch("proj_db_1", *url, "http://web/index.html") == "hello", what="web")
    looked = fetch("proj_web_1", "/bin/busybox", "nslookup", "db")
    assert "10.77.0.9" in looked
    page = server.run_inside("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html")
    assert page == "hello\n"
    assert "up-to-date" in compose(server, tmp_path, "up", "-d")  # nothing is made anew
    compose(server, tmp_path, "stop")
    compose(server, tmp_path, "start")
    eventually(lambda: "10.77.0.9" in fetch("proj_web_1", "/bin/busybox", "nslookup", "db"))
    compose(server, tmp_path, "down", "-v")
    assert server.docker("ps", "-aq").stdout == ""
    assert server.docker("network", "ls", "-q", "-f", "type=custom").stdout == ""
    assert server.docker("volume", "ls", "-q").stdout == ""
