"""Record templates: what each word gives, and how a wrong one is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.sdk.testing.simulator.shape import ShapeError, build_shape, load_shape
from connectors.sdk.testing.simulator.spoil import spoiled
from connectors.sdk.testing.simulator.template import Template, TemplateError, parse_value
from connectors.sdk.testing.simulator.world.rows import Link, Rows, table
from tests.connectors.sdk.testing.simulator.toy import toy

ROWS = table(
    [
        {"n": 7, "name": 'Zoë "Z"', "at": 1_700_000_000_123, "cents": 1205, "on": True, "few": ["a", "b"]},
        {"n": 8, "name": None, "at": None, "cents": -5, "on": False, "few": []},
    ]
)


def rendered(tree: Any, rows: Rows = ROWS) -> list[Any]:
    return [json.loads(text) for text in Template(tree).render(rows)]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("{n}", [7, 8]),
        ("{n | plus(3) | text}", ["10", "11"]),
        ("{n | times($n)}", [49, 64]),
        ("no. {n}", ["no. 7", "no. 8"]),
        ("Dear {name}", ['Dear Zoë "Z"', None]),
        ("{at | iso}", ["2023-11-14T22:13:20Z", None]),
        ("{at | iso_ms}", ["2023-11-14T22:13:20.123Z", None]),
        ("{at | iso_us_offset}", ["2023-11-14T22:13:20.123000+00:00", None]),
        ("{at | day}", ["2023-11-14", None]),
        ("{at | seconds}", [1_700_000_000, None]),
        ("{cents | money}", ["12.05", "-0.05"]),
        ("{cents | amount}", [12.05, -0.05]),
        ("{on}", [True, False]),
        ("{on | text}", ["true", "false"]),
        ("{on | not}", [False, True]),
        ("{few}", [["a", "b"], []]),
        ("{few | join}", ["a, b", ""]),
        ("{few | first}", ["a", None]),
        ("{name | slug}", ["zoez", None]),
        ("{name | known}", [True, False]),
        ("{name | or($n)}", ['Zoë "Z"', 8]),
        ("{n | is(7, 9)}", [True, False]),
        ("{n | map(7=seven, else=many)}", ["seven", "many"]),
        ("{n | map(7=seven)}", ["seven", None]),
        ("plain", ["plain", "plain"]),
    ],
)
def test_a_word_gives_its_value_for_each_row(word: str, values: list[Any]) -> None:
    assert list(parse_value(word).values(ROWS)) == values
    assert rendered(word) == values


def test_a_token_looks_random_and_is_always_the_same() -> None:
    word = parse_value("{n | token(12, base36, salt)}")

    assert word.values(ROWS) == word.values(ROWS)
    assert len(set(word.values(ROWS))) == 2
    assert word.values(ROWS) != parse_value("{n | token(12, base36, pepper)}").values(ROWS)


def test_null_members_marked_optional_are_left_out() -> None:
    assert rendered({"n": "{n}", "name?": "{name}", "at?": "{at}"})[1] == {"n": 8}
    assert rendered({"name?": "{name}", "at?": "{at}"})[1] == {}
    assert rendered({"name?": "{name}", "n?": "{n}"})[1] == {"n": 8}


def test_when_chooses_a_value_or_leaves_an_element_out() -> None:
    choice = {"$when": "{on}", "$then": {"name": "{name}"}, "$else": "off"}

    assert rendered({"a": choice})[1] == {"a": "off"}
    assert rendered({"a": {"$when": "{on}", "$then": 1}})[1] == {"a": None}
    assert rendered(["{n}", {"$when": "{on}", "$then": "on"}]) == [[7, "on"], [8]]
    assert rendered([{"$when": "{on}", "$then": "on"}]) == [["on"], []]


def test_each_gives_a_list_of_the_rows_children() -> None:
    children = table([{"c": 1}, {"c": 2}, {"c": 3}])
    children.links["parent"] = Link(ROWS, [0, 0, None])
    rows = Rows(2, ROWS.columns, children=lambda _name: (children, [0, 0, 1]))

    got = rendered({"kids": {"$each": "any", "$do": {"c": "{c}", "of": "{parent.n}"}}}, rows)

    assert got == [{"kids": [{"c": 1, "of": 7}, {"c": 2, "of": 7}]}, {"kids": [{"c": 3, "of": None}]}]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ("{n | shout}", "unknown function 'shout'"),
        ({"$when": "{on}", "then": 1}, "unknown then beside $when; allowed: $then, $else"),
        ({"$each": "lines", "$else": 1}, "unknown $else beside $each; allowed: $do"),
    ],
)
def test_a_wrong_template_says_what_is_allowed(tree: Any, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(tree)

    assert said in str(caught.value)


def test_an_unknown_column_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no column 'nome'; known: at, cents, few, n, name, on"):
        Template("{nome}").render(ROWS)


def test_spoils_hit_their_rows_only_and_wrap_round() -> None:
    texts = ['{"a":{"b":1},"c":2}', '{"a":{"b":1},"c":2}']

    result = spoiled(texts, [{"row": 3, "set": {"a.b": "x"}, "drop": ["c"]}])

    assert result == [texts[0], '{"a":{"b":"x"}}']


def test_a_wrong_shape_names_the_file_the_key_and_what_is_allowed(tmp_path: Any) -> None:
    path = tmp_path / "simulator.yaml"
    path.write_text(json.dumps({**toy(), "limitt": {}}), encoding="utf-8")

    with pytest.raises(ShapeError) as caught:
        load_shape(path)

    assert str(path) in str(caught.value)
    assert "unknown limitt; allowed: auth, demo" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"endpoints": [{"path": "/x", "stream": "nobody", "answer": {}}]},
            "unknown stream nobody; known: people, notes",
        ),
        (
            {"endpoints": [{"path": "/x", "stream": "notes", "answer": {}, "pages": 1}]},
            "unknown pages; allowed: answer",
        ),
        ({"streams": {"people": {"rows": {}, "recrod": {}}}}, "streams.people: unknown recrod"),
    ],
)
def test_a_wrong_part_of_a_shape_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ShapeError) as caught:
        build_shape(toy(**changes))

    assert said in str(caught.value)
