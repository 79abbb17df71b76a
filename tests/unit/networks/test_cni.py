"""CNI's execution protocol, against programs that write down what they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corten.errors import (
    CortenError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
    Unimplemented,
)
from corten.networks.capabilities import capability_args, kubernetes_args, parse_quantity
from corten.networks.cni import Cni, Invocation, find_network
from corten.networks.types import PodDns, PodPort
from corten.spec import cni

CALL = Invocation(
    container_id="pod1", netns="/run/ns", interface="eth0", args="A=1", capabilities={"mac": "x"}
)


class Lab:
    """Plugins in a directory; each appends its command and input to one log."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "log"
        self.cni = Cni([str(base / "nowhere"), str(base)], timeout=10)

    def plugin(self, name: str, answer: str = "", *, status: int = 0, on: str = "*") -> None:
        """A plugin that answers a command (the others succeed without output)."""
        path = self.base / name
        path.write_text(
            "#!/bin/sh\n"
            f'printf \'%s %s %s|%s|%s|%s|%s \' {name} "$CNI_COMMAND" "$CNI_CONTAINERID"'
            f' "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH" >>{self.log}\n'
            f"cat >>{self.log}\necho >>{self.log}\n"
            f"case $CNI_COMMAND in {on}) printf '%s' '{answer}'; exit {status};; esac\n"
        )
        path.chmod(0o755)

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for line in self.log.read_text().splitlines():
            head, brace, document = line.partition("{")
            found.append((" ".join(head.split()[:2]), json.loads(brace + document)))
        self.log.unlink()
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def network(*plugins: dict[str, Any], **fields: Any) -> cni.NetworkList:
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": list(plugins), **fields}
    return cni.parse_network(json.dumps(document), path="test.conflist")


def test_add_chains_results_and_passes_declared_capabilities(lab: Lab) -> None:
    lab.plugin("one", '{"cniVersion":"1.0.0","ips":[]}')
    lab.plugin("two", '{"cniVersion":"1.0.0","ips":[],"dns":{}}')
    net = network({"type": "one", "mtu": 9}, {"type": "two", "capabilities": {"mac": True}})
    assert lab.cni.add(net, CALL) == {"cniVersion": "1.0.0", "ips": [], "dns": {}}
    base = {"cniVersion": "1.0.0", "name": "net"}
    assert lab.calls() == [
        ("one ADD", {"type": "one", "mtu": 9, **base}),
        (
            "two ADD",
            {
                "type": "two",
                "runtimeConfig": {"mac": "x"},
                "prevResult": {"cniVersion": "1.0.0", "ips": []},
                **base,
            },
        ),
    ]


def test_the_parameters_are_in_the_environment(lab: Lab) -> None:
    lab.plugin("one", '{"cniVersion":"1.0.0"}')
    lab.cni.add(network({"type": "one"}), CALL)
    expected = f"one ADD pod1|/run/ns|eth0|A=1|{lab.base}/nowhere:{lab.base} "
    assert lab.log.read_text().startswith(expected)


def test_delete_runs_backwards_with_the_last_result_and_goes_on_after_an_error(lab: Lab) -> None:
    lab.plugin("one")
    lab.plugin("two", '{"code":11,"msg":"busy"}', status=1)
    net = network({"type": "one"}, {"type": "two"})
    with pytest.raises(Unavailable, match=r"busy \(code 11\)"):
        lab.cni.delete(net, CALL, {"ips": []})
    assert [(c, d["prevResult"]) for c, d in lab.calls()] == [
        ("two DEL", {"ips": []}),
        ("one DEL", {"ips": []}),
    ]


def test_check_can_be_disabled_and_needs_0_4_0(lab: Lab) -> None:
    lab.plugin("one")
    lab.cni.check(network({"type": "one"}, disableCheck=True), CALL, {})
    assert not lab.log.exists()
    lab.cni.check(network({"type": "one"}), CALL, {"ips": []})
    assert [c for c, _ in lab.calls()] == ["one CHECK"]
    with pytest.raises(Unimplemented, match=r"0\.3\.1"):
        lab.cni.check(network({"type": "one"}, cniVersion="0.3.1"), CALL, {})


def test_status_and_gc_speak_1_1_0_only(lab: Lab) -> None:
    lab.plugin("one", '{"code":50,"msg":"no daemon"}', status=1, on="STATUS")
    old, new = network({"type": "one"}), network({"type": "one"}, cniVersion="1.1.0")
    lab.cni.status(old)
    lab.cni.collect(old, [])
    assert not lab.log.exists()
    with pytest.raises(Unavailable, match="no daemon"):
        lab.cni.status(new)
    lab.cni.collect(new, [("pod1", "eth0")])
    lab.cni.collect(network({"type": "one"}, cniVersion="1.1.0", disableGC=True), [])
    assert [c for c, _ in lab.calls()] == ["one STATUS", "one GC"]


def test_gc_names_the_valid_attachments(lab: Lab) -> None:
    lab.plugin("one")
    lab.cni.collect(network({"type": "one"}, cniVersion="1.1.0"), [("pod1", "eth0")])
    valid = [{"containerID": "pod1", "ifname": "eth0"}]
    assert lab.calls()[0][1]["cni.dev/valid-attachments"] == valid


def test_a_plugin_that_hangs_is_killed(lab: Lab) -> None:
    (lab.base / "slow").write_text("#!/bin/sh\nsleep 60\n")
    (lab.base / "slow").chmod(0o755)
    impatient = Cni([str(lab.base)], timeout=0.2)
    with pytest.raises(DeadlineExceeded, match=r"0\.2 seconds"):
        impatient.add(network({"type": "slow"}), CALL)


@pytest.mark.parametrize(
    ("answer", "status", "kind", "message"),
    [
        ("", 0, Unavailable, "not JSON"),
        ("[]", 0, Unavailable, "no JSON object"),
        ('{"cniVersion":"7.0.0"}', 0, Unimplemented, "7.0.0"),
        ("boom", 3, Unavailable, "status 3: boom"),
        ('{"code":7,"msg":"bad mtu"}', 1, InvalidArgument, "bad mtu"),
        ('{"code":1,"msg":"old"}', 1, FailedPrecondition, "old"),
        ('{"code":"x"}', 1, Unavailable, "status 1"),
    ],
)
def test_bad_answers_are_clear_errors(
    lab: Lab, answer: str, status: int, kind: type[CortenError], message: str
) -> None:
    lab.plugin("one", answer, status=status)
    with pytest.raises(kind, match=message) as caught:
        lab.cni.add(network({"type": "one"}), CALL)
    assert "CNI plugin one" in str(caught.value)


def test_a_missing_or_unusable_program_is_named(lab: Lab) -> None:
    with pytest.raises(FailedPrecondition, match="'absent'"):
        lab.cni.add(network({"type": "absent"}), CALL)
    (lab.base / "script").write_text("no interpreter line, no program")
    (lab.base / "script").chmod(0o755)
    with pytest.raises(Unavailable, match="can't be run"):
        lab.cni.add(network({"type": "script"}), CALL)


def test_the_first_valid_configuration_by_name_is_used(tmp_path: Path) -> None:
    (tmp_path / "05-broken.conflist").write_text("{")
    (tmp_path / "20-later.conf").write_text('{"cniVersion":"1.0.0","name":"later","type":"x"}')
    (tmp_path / "10-first.conf").write_text('{"cniVersion":"1.0.0","name":"first","type":"x"}')
    (tmp_path / "00-ignored.txt").write_text("{}")
    assert find_network(str(tmp_path)).name == "first"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[]", "no JSON object"),
        ('{"plugins":[{"type":"x"}]}', "no name"),
        ('{"name":"-x","type":"x"}', "must start with"),
        ('{"name":"a b","type":"x"}', "must start with"),
        ('{"name":"x","plugins":[]}', "at least one"),
        ('{"name":"x","plugins":[{"type":"../sh"}]}', "usable 'type'"),
        ('{"name":"x","type":"x","disableCheck":"maybe"}', "true or false"),
        ('{"name":"x","type":"x","cniVersion":"2.0.0"}', r"2\.0\.0"),
    ],
)
def test_bad_configurations_are_refused(document: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        cni.parse_network(document, path="x.conflist")


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, "0.1.0"),
        ({"cniVersion": "0.4.0"}, "0.4.0"),
        ({"cniVersion": "0.4.0", "cniVersions": ["1.0.0", "1.1.0", "9.9.9"]}, "1.1.0"),
    ],
)
def test_the_newest_common_version_is_spoken(fields: dict[str, Any], version: str) -> None:
    assert cni.negotiate(fields, path="x") == version


def test_addresses_are_those_of_the_interface_inside() -> None:
    result = {
        "interfaces": [
            {"name": "cni0"},
            {"name": "eth0", "sandbox": "/ns"},
            {"name": "net1", "sandbox": "/ns"},
        ],
        "ips": [
            {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.0.0.2/24", "interface": 1},
            {"address": "fd00::2/64", "interface": 1},
            {"address": "10.9.0.2/24", "interface": 2},
            {"address": "10.0.0.7/24"},
        ],
    }
    assert cni.addresses(result, "eth0") == ("10.0.0.2", "fd00::2", "10.0.0.7")
    assert cni.addresses({"ip4": {"ip": "10.0.0.3/24"}}, "eth0") == ("10.0.0.3",)
    assert cni.addresses({}, "eth0") == ()


def test_kubernetes_arguments_and_capabilities() -> None:
    args = kubernetes_args("p", namespace="ns", name="web", uid="u")
    assert args == (
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;"
        "K8S_POD_INFRA_CONTAINER_ID=p;K8S_POD_UID=u"
    )
    with pytest.raises(InvalidArgument, match="CNI_ARGS"):
        kubernetes_args("p", namespace="ns", name="a;b", uid="")
    found = capability_args(
        ports=[PodPort(container_port=80, host_port=8080), PodPort(container_port=81, host_port=0)],
        annotations={"kubernetes.io/egress-bandwidth": "10M"},
        dns=PodDns(servers=("10.0.0.10",)),
        cgroup_path="/pods/p",
    )
    assert [m["hostPort"] for m in found["portMappings"]] == [8080]
    assert found["bandwidth"] == {"egressRate": 10_000_000, "egressBurst": (1 << 32) - 1}
    assert found["dns"] == {"servers": ["10.0.0.10"], "searches": [], "options": []}
    assert found["cgroupPath"] == "/pods/p"


@pytest.mark.parametrize(
    ("text", "value"),
    [("10M", 10**7), ("1.5Ki", 1536), ("1e6", 10**6), ("2000", 2000), ("0.1", 1)],
)
def test_quantities(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "M", "ten", "1e999"])
def test_bad_quantities_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_quantity(text)
