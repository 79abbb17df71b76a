"""Restart policies and health checks, as far as they are rules."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from corten.engine import healthrules, restartrules
from corten.engine.changing import check_restart
from corten.engine.policies import Policies
from corten.engine.specgen.merge import merge_image
from corten.engine.types import (
    Container,
    ContainerConfig,
    Health,
    HealthConfig,
    HealthResult,
    RestartPolicy,
    State,
)
from corten.engine.view import View
from corten.errors import FailedPrecondition, InvalidArgument

_SECOND = 10**9


def container(policy: str, most: int = 0, **members: Any) -> Container:
    restart = RestartPolicy(name=policy, maximum_retry_count=most)
    values: dict[str, Any] = {
        "id": "1" * 64,
        "tenant": "docker",
        "name": "one",
        "config": ContainerConfig(image="box", restart=restart),
        "image_ref": "box",
        "image_id": "sha256:1",
        "created_at": 0,
        **members,
    }
    return Container(**values)


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [("no", 1, False), ("always", 0, True), ("unless-stopped", 0, True), ("on-failure", 0, False),
     ("on-failure", 1, True)],
)  # fmt: skip
def test_after_an_exit(policy: str, code: int, expected: bool) -> None:
    assert restartrules.wanted(container(policy), code) is expected
    assert not restartrules.wanted(container(policy, stopped=True), code)


def test_so_many_times() -> None:
    assert restartrules.wanted(container("on-failure", 3, restart_count=2), 1)
    assert not restartrules.wanted(container("on-failure", 3, restart_count=3), 1)


@pytest.mark.parametrize(
    ("policy", "stopped", "expected"),
    [("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True),
     ("on-failure", False, False), ("no", False, False)],
)  # fmt: skip
def test_when_the_daemon_comes_up(policy: str, stopped: bool, expected: bool) -> None:
    ended = State(status="exited", started_at=1, finished_at=2)
    assert restartrules.wanted_at_start(container(policy, stopped=stopped, state=ended)) is expected
    never = State(status="created")
    assert not restartrules.wanted_at_start(container(policy, state=never))


def test_one_that_waits_is_started_when_the_daemon_comes_up() -> None:
    waiting = State(status="restarting", started_at=1, finished_at=2)
    assert restartrules.wanted_at_start(container("on-failure", state=waiting))


def test_pauses_double_up_to_a_minute_and_begin_anew() -> None:
    policies = Policies.__new__(Policies)
    policies._pauses = {}

    def pause(seconds: float) -> float:
        state = State(status="restarting", started_at=1, finished_at=1 + int(seconds * _SECOND))
        return policies.pause(container("always", state=state))

    assert [pause(0.1) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    for _ in range(20):
        last = pause(0.1)
    assert last == 60.0
    assert pause(10.0) == 0.1


@pytest.mark.parametrize(
    "policy",
    [RestartPolicy(name="odd"), RestartPolicy(name="always", maximum_retry_count=1),
     RestartPolicy(name="on-failure", maximum_retry_count=-1)],
)  # fmt: skip
def test_policies_that_cant_be(policy: RestartPolicy) -> None:
    with pytest.raises(InvalidArgument):
        check_restart(policy, auto_remove=False)


def test_what_removes_itself_is_not_started_again() -> None:
    with pytest.raises(FailedPrecondition, match="AutoRemove"):
        check_restart(RestartPolicy(name="always"), auto_remove=True)
    check_restart(RestartPolicy(), auto_remove=True)


# --- health ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "expected"),
    [((), ()), (("NONE",), ()), (("CMD", "a", "b"), ("a", "b")),
     (("CMD-SHELL", "a b"), ("/bin/sh", "-c", "a b"))],
)  # fmt: skip
def test_what_is_executed(test: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert healthrules.program(HealthConfig(test=test)) == expected


def test_what_the_user_leaves_open_is_the_images() -> None:
    image = {"config": {"Cmd": ["x"], "Healthcheck": {"Test": ["CMD", "t"], "Retries": 7}}}
    own = ContainerConfig(image="box", health=HealthConfig(interval=5))
    merged = merge_image(own, image, labels=True).health
    assert merged == HealthConfig(test=("CMD", "t"), retries=7, interval=5)


def test_results_survive_a_commit_that_knows_less() -> None:
    results = tuple(HealthResult(start=i, end=i + 1, exit_code=0) for i in range(3))
    running = State(status="running", started_at=5, health=Health(status="healthy"))
    record = container("no", state=running)
    view = View()
    view.put_container(record)
    health = Health(status="healthy", log=results)
    view.put_container(
        msgspec.structs.replace(record, state=msgspec.structs.replace(running, health=health))
    )
    view.put_container(record)
    found = view.containers[record.id].state.health
    assert found is not None and found.log == results
    again = msgspec.structs.replace(running, started_at=9)
    view.put_container(msgspec.structs.replace(record, state=again))
    found = view.containers[record.id].state.health
    assert found is not None and not found.log
