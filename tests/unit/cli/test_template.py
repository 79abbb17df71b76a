"""Go templates as ``--format`` uses them."""

from __future__ import annotations

from typing import Any

import pytest

from corten.cli import table
from corten.cli.template import parse
from corten.cli.template_eval import render
from corten.errors import InvalidArgument

DATA: dict[str, Any] = {
    "ID": "abc",
    "Names": ["a", "b"],
    "State": {"Pid": 3, "Running": True, "Error": ""},
    "Labels": {"y": "2", "x": "1"},
    "None": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.ID}}", "abc"),
        ("{{.State.Pid}} {{.State.Running}}", "3 true"),
        ("{{json .State}}", '{"Pid":3,"Running":true,"Error":""}'),
        ("{{.Names | json}}", '["a","b"]'),
        ("{{.Names}} {{.Labels}}", "[a b] map[x:1 y:2]"),
        ("{{.None}}", "<no value>"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "x=1 y=2 "),
        ("{{range .Names}}[{{.}}]{{end}}", "[a][b]"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $e := .Names}}{{if $i}},{{end}}{{$e}}{{end}}", "a,b"),
        ("{{range .Names}}{{$.ID}}{{end}}", "abcabc"),
        ("{{if eq .State.Pid 3}}yes{{else}}no{{end}}", "yes"),
        ("{{if .None}}a{{else if .ID}}b{{else}}c{{end}}", "b"),
        ("{{if and .ID (not .None)}}ok{{end}}", "ok"),
        ("{{with .State}}{{.Pid}}{{end}}", "3"),
        ("{{with .State.Error}}{{.}}{{else}}fine{{end}}", "fine"),
        ('{{index .Labels "x"}}{{(index .Names 1)}}', "1b"),
        ("{{$s := .State}}{{$s.Pid}}", "3"),
        ("a {{- .ID -}} b", "aabcb"),
        ('{{printf "%s-%d" .ID .State.Pid}}', "abc-3"),
        ('{{join .Names ", "}}', "a, b"),
        ("{{upper .ID}}{{len .Names}}{{truncate .ID 2}}", "ABC2ab"),
        ('{{"a\\tb"}}', "a\tb"),
        ("{{/* nothing */}}x", "x"),
        ("plain", "plain"),
    ],
)
def test_templates(source: str, text: str) -> None:
    assert render(parse(source), DATA) == text


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{{.Foo}}", "Foo"),
        ("{{.ID.Sub}}", "Sub"),
        ("{{foo}}", "foo"),
        ("{{if .ID}}", "{{end}} is missing"),
        ("{{end}}", "end"),
        ("{{.ID", "unclosed"),
        ("{{$x}}", "$x"),
        ("{{index .Names 9}}", "index"),
        ("{{.ID | }}", "missing value"),
        ("{{(.ID}}", "paren"),
        ("{{len}}", "len"),
    ],
)
def test_mistakes_are_named(source: str, word: str) -> None:
    with pytest.raises(InvalidArgument, match=word.replace("$", "\\$").replace("{", "\\{")):
        render(parse(source), DATA)


def test_columns_are_docker_s() -> None:
    rows = [{"ID": "a", "Name": "long enough name"}, {"ID": "b", "Name": "x"}]
    headers = {"ID": "THE ID", "Name": "NAME"}
    assert table.listing(rows, "", "table {{.ID}}\t{{.Name}}", headers) == (
        "THE ID    NAME\na         long enough name\nb         x\n"
    )


def test_the_users_own_table() -> None:
    rows = [{"ID": "a", "Name": "n"}]
    headers = {"ID": "THE ID", "Name": "NAME"}
    assert table.listing(rows, r"table {{.Name}}\t{{.ID}}", "", headers).splitlines() == [
        "NAME      THE ID", "n         a",
    ]  # fmt: skip


def test_without_table_there_is_no_header() -> None:
    assert table.listing([{"ID": "a"}], "{{.ID}}!", "", {}) == "a!\n"
    assert table.listing([{"ID": "a"}], "json", "", {}) == '{"ID":"a"}\n'
