"""Our .proto against the standard's facts (../shared/spec/cri-v1.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from corten.cri.pb import cri_pb2

SPEC = Path(__file__).resolve().parents[3].parent / "shared/spec/cri-v1.json"
FILE = cri_pb2.DESCRIPTOR

_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    if not SPEC.exists():
        pytest.skip(f"the standard's facts are not here: {SPEC}")
    facts: dict[str, Any] = json.loads(SPEC.read_text())
    return facts


def _name(descriptor: Descriptor | EnumDescriptor) -> str:
    name: str = descriptor.full_name
    return name.removeprefix("runtime.v1.")


def _field(field: FieldDescriptor) -> dict[str, Any]:
    facts: dict[str, Any] = {"number": field.number}
    kind = field.message_type or field.enum_type
    if kind is not None and field.message_type is kind and kind.GetOptions().map_entry:
        facts["type"] = "map<string,string>"
    else:
        facts["type"] = _SCALARS[field.type] if kind is None else _name(kind)
        if field.is_repeated:
            facts["repeated"] = True
    options = field.GetOptions()
    for option in ("deprecated", "debug_redact"):
        if getattr(options, option):
            facts[option] = True
    return facts


def test_the_package_is_the_standards(spec: dict[str, Any]) -> None:
    assert FILE.package == spec["package"]


def test_every_message_and_field_is_the_standards(spec: dict[str, Any]) -> None:
    ours = {
        name: {field.name: _field(field) for field in message.fields}
        for name, message in FILE.message_types_by_name.items()
    }
    assert ours == spec["messages"]


def test_every_enum_is_the_standards(spec: dict[str, Any]) -> None:
    enums = list(FILE.enum_types_by_name.values())
    for message in FILE.message_types_by_name.values():
        enums += message.enum_types
    ours = {_name(enum): {v.name: v.number for v in enum.values} for enum in enums}
    assert ours == spec["enums"]


def test_every_method_is_the_standards(spec: dict[str, Any]) -> None:
    ours: dict[str, Any] = {}
    for name, service in FILE.services_by_name.items():
        for method in service.methods:
            facts: dict[str, Any] = {
                "request": _name(method.input_type),
                "response": _name(method.output_type),
            }
            if method.server_streaming:
                facts["server_streaming"] = True
            assert not method.client_streaming
            ours.setdefault(name, {})[method.name] = facts
    assert ours == spec["services"]
    assert sum(len(methods) for methods in ours.values()) == 43
