"""docs/runtime-spec.md: fresh, and complete against the specification's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import spec_table

REPOSITORY = Path(__file__).resolve().parents[3]
SCHEMAS = [REPOSITORY.parent / "shared/spec/oci-runtime", Path("/work/shared/spec/oci-runtime")]
# Other systems' members, and what config.md has for Windows alone.
FOREIGN = ("solaris", "windows", "vm", "zos", "freebsd", "process.commandLine",
           "process.user.username")  # fmt: skip


def test_the_document_says_what_the_code_does() -> None:
    assert rows(spec_table.TARGET.read_text()) == rows(spec_table.table()), (
        "run tools/spec_table.py"
    )


def rows(text: str) -> list[list[str]]:
    """The lines without the column of tests, which others change."""
    return [line.split(" | ")[:2] for line in text.splitlines()]


def test_the_named_tests_are_there() -> None:
    for line in spec_table.TARGET.read_text().splitlines():
        if line.startswith("| `"):
            for name in line.split(" | ")[2].strip(" |").split(", "):
                path = REPOSITORY / "tests" / name.strip("`")
                assert path.is_file() or not name, f"{path}: run tools/spec_table.py"


def test_every_field_is_read_or_refused() -> None:
    ignored = [line for line in spec_table.table().splitlines() if "| ignored |" in line]
    # the kernel has no such limit any more, and the specification leaves it to us
    assert [line.split("`")[1] for line in ignored] == ["linux.resources.memory.kernel"]


def test_the_sample_has_every_field_of_the_schema() -> None:
    folder = next((path for path in SCHEMAS if path.is_dir()), None)
    if folder is None:
        pytest.skip("../shared/spec is not here")
    files = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    wanted = set(schema_fields(files, "config-schema.json", files["config-schema.json"], ""))
    have = set(spec_table.fields(spec_table.SAMPLE))
    assert wanted - have == set()


def schema_fields(files: dict[str, Any], file: str, node: Any, path: str) -> list[str]:
    """The paths of all members that a schema names."""
    if "$ref" in node:
        name, _, pointer = node["$ref"].partition("#")
        target = files[name or file]
        for part in pointer.strip("/").split("/"):
            target = target[part] if part else target
        return schema_fields(files, name or file, target, path)
    found: list[str] = []
    for key, inner in node.get("properties", {}).items():
        here = spec_table.join(path, key)
        if here in FOREIGN:
            continue
        found += [here, *schema_fields(files, file, inner, here)]
    if isinstance(node.get("items"), dict):
        found += schema_fields(files, file, node["items"], f"{path}[]")
    for choice in (*node.get("anyOf", ()), *node.get("allOf", ()), *node.get("oneOf", ())):
        found += schema_fields(files, file, choice, path)
    return found
