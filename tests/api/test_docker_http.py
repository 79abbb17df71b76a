"""The Docker API as HTTP, call by call, against a real daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.http import Api
from tests.e2e.transcript import box
from tests.e2e.transcript.serve import images
from tests.harness import Daemon

pytestmark = pytest.mark.skipif(not box.BUSYBOX.exists(), reason="needs busybox-static")


@pytest.fixture(scope="module")
def api(daemon: Daemon) -> Api:
    return Api(str(daemon.state / "docker.sock"))


@pytest.fixture(scope="module")
def image(api: Api) -> Iterator[str]:
    with images() as names:
        api(f"POST images/create?fromImage={names['box']}&tag=latest 200")
        yield names["box"]


def test_empty_daemon(api: Api) -> None:
    api("GET _ping 200")
    assert api.headers["Api-Version"] == "1.55"
    api("GET containers/json?all=1 200 length=0")
    api("GET v1.24/containers/json 200 length=0")
    api("GET volumes 200 .Volumes=[]")
    api("GET networks 200 length=3 .0.Name=bridge")
    api("GET info 200 .Containers=0 .OSType=linux .Swarm.LocalNodeState=inactive")
    api("GET version 200 .ApiVersion=1.55 .Os=linux")


def test_life_of_a_container(api: Api, image: str) -> None:
    body = {"Image": image, "Cmd": ["sleep", "60"]}
    api("POST containers/create?name=web 201 .Warnings=[]", body)
    api("POST containers/create?name=web 409 says=is_already_in_use", body)
    api("GET containers/json 200 length=0")
    api("GET containers/json?all=1 200 length=1 .0.State=created .0.Names.0=/web")
    api("GET containers/web/json 200 .State.Status=created .State.Running=false .Path=sleep")
    api("POST containers/web/kill 409 says=is_not_running")
    api("POST containers/web/stop 304")
    api("POST containers/web/start 204")
    api("POST containers/web/start 304")
    api("GET containers/json 200 length=1 .0.State=running")
    assert api("GET containers/web/top 200 .Titles.1=PID")["Processes"][0][7] == "sleep 60"
    api("DELETE containers/web 409 says=cannot_remove_a_running_container")
    api("POST containers/web/pause 204")
    api("POST containers/web/pause 409 says=already_paused")
    api("GET containers/web/json 200 .State.Paused=true .State.Running=true")
    api("POST containers/web/unpause 204")
    api("POST containers/web/restart?t=0 204")
    api("GET containers/web/json 200 .State.Running=true")
    api("POST containers/web/stop?t=0 204")
    api("POST containers/web/wait 200 .StatusCode=137")
    api("GET containers/web/json 200 .State.Status=exited .State.ExitCode=137")
    api("DELETE containers/web 204")
    api("DELETE containers/web 404 says=No_such_container")
    api("GET containers/json?all=1 200 length=0")


def test_execs(api: Api, image: str) -> None:
    made = api("POST containers/create 201", {"Image": image, "Cmd": ["sleep", "60"]})["Id"]
    api(f"POST containers/{made}/exec 409 says=not_running", {"Cmd": ["true"]})
    api(f"POST containers/{made}/start 204")
    api(f"POST containers/{made}/exec 400 says=No_exec_command", {"Cmd": []})
    started = api(f"POST containers/{made[:12]}/exec 201", {"Cmd": ["sleep", "50"]})["Id"]
    api(f"GET exec/{started}/json 200 .Running=false .ExitCode=null .OpenStdin=false")
    api(f"POST exec/{started}/start 200", {"Detach": True})
    api(f"GET exec/{started}/json 200 .Running=true .ContainerID={made}")
    api(f"GET containers/{made}/json 200 .ExecIDs.0={started}")
    api(f"POST exec/{started}/start 409", {"Detach": True})
    api("GET exec/nosuch/json 404 says=No_such_exec_instance")
    api(f"DELETE containers/{made}?force=1 204")
    api(f"GET exec/{started}/json 404")


def test_a_start_that_fails_has_dockers_words(api: Api, image: str) -> None:
    made = api("POST containers/create 201", {"Image": image, "Cmd": ["nosuch"]})["Id"]
    api(f"POST containers/{made}/start 400 says=executable_file_not_found_in_$PATH")
    api(f"GET containers/{made}/json 200 .State.Status=created .State.ExitCode=127")
    api(f"DELETE containers/{made} 204")


def test_images(api: Api, image: str) -> None:
    listed = api("GET images/json 200 length=1 .0.Containers=-1")
    assert listed[0]["RepoTags"] == [f"{image}:latest"]
    api(f"GET images/{image}/json 200 .Id={listed[0]['Id']} .Os=linux")
    api("GET images/nosuch/json 404 says=No_such_image")
    api("DELETE images/nosuch 404")
    api("POST containers/create 404 says=No_such_image", {"Image": "nosuch"})


@pytest.mark.parametrize(
    "line",
    [
        "GET nosuch 404 says=page_not_found",
        "GET v1.23/info 400 says=too_old",
        "GET v1.99/info 400 says=too_new",
        "GET containers/nosuch/json 404 says=No_such_container:_nosuch",
        "GET containers/nosuch/logs?stdout=1 404",
        "POST containers/nosuch/wait 404",
        "POST containers/nosuch/attach 404",
        "POST build 501 says=building_images_is_not_implemented_by_corten_yet",
        "GET containers/json?filters={ 400 says=invalid_filters",
        "GET networks/nosuch 404 says=network_nosuch_not_found",
        "GET volumes/nosuch 404 says=no_such_volume",
        "POST images/create 400 says=fromImage",
    ],
)
def test_errors(api: Api, line: str) -> None:
    api(line)
