"""YAML with lines: what is refused, and that each message says where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.sdk.errors import FixConfig, FixConnector
from connectors.sdk.yaml_lines import load_yaml, parse_yaml, suggest, validate

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["cursor", "offset"]},
        "terms": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["const"],
                        "properties": {"const": {}},
                    },
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["path"],
                        "properties": {"path": {"type": "string"}, "lookup": {"type": "string"}},
                    },
                ]
            },
        },
    },
}


def test_only_core_scalars_are_read_as_other_than_text() -> None:
    data, _ = parse_yaml("a: NO\nb: 2024-10-15\nc: 12:30\nd: 010\ne: true\nf: 1.5\ng:\nh: on\n7: x\ntrue: y\n", "f")
    expected = {
        "a": "NO",
        "b": "2024-10-15",
        "c": "12:30",
        "d": "010",
        "e": True,
        "f": 1.5,
        "g": None,
        "h": "on",
    }
    assert data == {**expected, "7": "x", "true": "y"}


def test_every_value_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a:\n  - 1\n  - b: 2\n    c: 3\n", encoding="utf-8")
    _, locate = load_yaml(file)
    assert [locate(path) for path in (("a",), ("a", 0), ("a", 1, "c"), ("a", 1, "gone", "x"))] == [1, 2, 4, 3]
    assert locate.where(("a", 1, "c")) == f"{file}:4"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "given twice"),
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("x: &x [*x]\n", 1, "alias"),
        ("x: !!python/name:os.system y\n", 1, "tag"),
        ("b: &b {a: 1}\nc:\n  <<: *b\n", 3, "merge keys"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
    ],
)
def test_what_hides_meaning_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(FixConnector, match=says) as caught:
        parse_yaml(text, "f.yaml")
    assert caught.value.where == f"f.yaml:{line}"


def test_a_missing_file_is_the_error_the_caller_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FixConfig, match="cannot be read"):
        load_yaml(tmp_path / "none.yaml", error=FixConfig)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: a\nkind: cursr\n", 2, "did you mean 'cursor'"),
        ("name: a\nknd: cursor\n", 2, "did you mean 'kind'"),
        ("kind: cursor\n", 1, "missing key 'name'"),
        ("name: 5\n", 1, "5 does not fit in name"),
        ("name: a\nterms:\n  x: {path: a, lokup: b}\n", 3, "did you mean 'lookup'"),
        ("name: a\nterms:\n  x: [1]\n", 3, "a list does not fit in terms.x"),
    ],
)
def test_a_schema_fault_names_line_and_what_is_allowed(text: str, line: int, says: str) -> None:
    data, locate = parse_yaml(text, "f.yaml")
    with pytest.raises(FixConnector) as caught:
        validate(data, SCHEMA, locate)
    assert caught.value.where == f"f.yaml:{line}"
    assert says in str(caught.value)
    assert "allowed" in str(caught.value)


def test_all_faults_are_listed() -> None:
    data, locate = parse_yaml("name: 1\nkind: x\nother: 2\n", "f.yaml")
    with pytest.raises(FixConnector) as caught:
        validate(data, SCHEMA, locate)
    assert all(f"f.yaml:{line}" in str(caught.value) for line in (1, 2, 3))


def test_a_suggestion_lists_what_is_allowed_even_without_a_near_name() -> None:
    assert suggest("zzz", ["alpha", "beta"]) == "allowed: alpha, beta"
