"""Records come out as they went in; what is no data does not go in."""

from __future__ import annotations

import pytest

from corten.oci.plan import PlanOptions, compile_plan
from corten.spec import transfer
from tests.runtime.harness import base_config


def test_a_whole_plan() -> None:
    config = base_config()
    config["root"] = {"path": "rootfs"}
    config["hostname"] = "naïve \udc80"
    plan = compile_plan(config, bundle="/b", options=PlanOptions(container_id="c"))
    assert transfer.loads(transfer.dumps(plan)) == plan


@pytest.mark.parametrize(
    "value", [(), (1, "x", None, b"y", True), {"a": (1,)}, [(), []], frozenset({1})]
)
def test_plain_data(value: object) -> None:
    assert transfer.loads(transfer.dumps(value)) == value


def test_what_is_no_data() -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        transfer.dumps(object())
