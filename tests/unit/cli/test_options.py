"""From a command line to ``ContainerConfig``; and what docker's flags allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from corten.cli import completion
from corten.cli.app import root
from corten.cli.commands.run import run
from corten.cli.options import container_config
from corten.engine.types import ContainerConfig
from corten.errors import InvalidArgument


def values(*args: str) -> dict[str, Any]:
    return run.make_context("run", list(args)).params


def config(*args: str) -> ContainerConfig:
    """As the daemon will read it."""
    params = values(*args)
    document = container_config(params["image"], params["command"], params)
    return msgspec.convert(document, ContainerConfig)


def test_everything_after_the_image_is_the_containers() -> None:
    made = config("--rm", "img", "prog", "--rm=true", "-it", "--", "x")
    assert made.cmd == ("prog", "--rm=true", "-it", "--", "x")
    assert (made.auto_remove, made.tty) == (True, False)


def test_defaults_are_the_engines() -> None:
    made, plain = config("img"), ContainerConfig(image="img")
    assert made == plain


def test_all_kinds_of_flags() -> None:
    made = config(
        "-itm64m", "--cpus", "1.5", "--name=x", "-eA=1", "-e", "B=2", "-p8080:80", "-v", "/a:/b",
        "--entrypoint", "sh", "--cap-add", "NET_ADMIN", "--read-only", "--ulimit", "nofile=1:2",
        "--network", "none", "-u", "1:2", "-w", "/w", "--init", "--memory-swap", "-1",
        "--security-opt", "no-new-privileges", "--device", "/dev/fuse", "--sysctl", "a.b=1",
        "img", "-c", "true",
    )  # fmt: skip
    assert (made.tty, made.open_stdin, made.init) == (True, True, True)
    assert (made.resources.memory, made.resources.memory_swap) == (64 << 20, -1)
    assert made.resources.nano_cpus == 1_500_000_000
    assert made.env == ("A=1", "B=2")
    assert (made.ports[0].host_port, made.ports[0].container_port) == (8080, 80)
    assert (made.entrypoint, made.cmd) == (("sh",), ("-c", "true"))
    assert (made.security.cap_add, made.security.readonly_rootfs) == (("NET_ADMIN",), True)
    assert made.security.no_new_privileges
    assert (made.ulimits[0].soft, made.ulimits[0].hard) == (1, 2)
    assert (made.namespaces.network, made.user, made.working_dir) == ("none", "1:2", "/w")
    assert made.devices[0].host_path == "/dev/fuse"
    assert made.sysctls == {"a.b": "1"}


def test_an_empty_entrypoint_resets_the_images() -> None:
    assert config("--entrypoint", "", "img").entrypoint == ()
    assert config("img").entrypoint is None


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--rm=true"], "rm", True),
        (["--rm=false"], "rm", False),
        (["--rm=1"], "rm", True),
        (["--sig-proxy=false"], "sig_proxy", False),
        (["--sig-proxy"], "sig_proxy", True),
        ([], "sig_proxy", True),
        (["--name", "--rm=true"], "name", "--rm=true"),
        (["-p", "80", "--rm=true"], "rm", True),
    ],
)
def test_booleans_as_go_takes_them(args: list[str], name: str, value: object) -> None:
    assert values(*args, "img")[name] == value


def test_what_is_no_boolean_is_refused() -> None:
    with pytest.raises(click.BadParameter):
        values("--rm=maybe", "img")


@pytest.mark.parametrize(
    "args",
    [["-p", "x"], ["--restart", "always", "--rm"], ["--security-opt", "odd"],
     ["--env-file", "/nonexistent"], ["-v", "a:b"]],
)  # fmt: skip
def test_wrong_values(args: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        config(*args, "img")


def every_command(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [] if command.hidden else [(path, command)]
    return [
        found
        for name, sub in command.commands.items()
        for found in every_command(sub, f"{path} {name}")
    ]


COMMANDS = every_command(root, "corten")


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_help_has_a_sentence_and_an_example(path: str, command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name=path))
    assert command.help
    if path.count(" ") == 1:
        assert "Examples:" in text
    for line in getattr(command, "examples", ()):
        assert line.startswith("corten ")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_files_are_what_the_command_prints(shell: str) -> None:
    file = Path(__file__).resolve().parents[3] / f"packaging/completion/corten.{shell}"
    assert file.read_text() == completion.script(shell)
