"""Paths: the grammar, and nothing beside it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import paths
from connectors.sdk.errors import FixConnector

RECORD: dict[str, Any] = {
    "id": 7,
    "a": {"b-c": {"d.e": 1}},
    "list": [{"id": 12, "v": "x"}, {"id": "13", "v": None}, 5],
    "$x": True,
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id", [7]),
        ("$.id", [7]),
        ('a."b-c"."d.e"', [1]),
        ('"$x"', [True]),
        ("list[0].v", ["x"]),
        ("list[-1]", [5]),
        ("list[*].id", [12, "13"]),
        ("list[?id=='12'].v", ["x"]),
        ("list[?id=='13'].v", [None]),
        ("list[9].v", []),
        ("id.x", []),
        ("$", [RECORD]),
    ],
)
def test_a_path_finds_what_it_names(text: str, found: list[Any]) -> None:
    assert paths.find_all(paths.parse(text), RECORD) == found
    assert paths.getter(paths.parse(text))(RECORD) == (found[0] if found else None)


@pytest.mark.parametrize("text", ["", "a..b", "a b", ".a", "a.", "a.[0]", "a[x]", "a[?b=c]", "a-b", "$a", "[*]x"])
def test_what_is_no_path_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(FixConnector, match="path"):
        paths.parse(text)


_members = st.one_of(
    st.text(min_size=1, max_size=8),
    st.integers(-5, 5),
    st.just(paths.Every()),
    st.builds(paths.Where, st.text(min_size=1, max_size=5), st.text(max_size=5)),
)


@given(st.lists(_members, max_size=5).map(tuple))
def test_a_path_survives_being_written(path: paths.Path) -> None:
    assert paths.parse(paths.write(path)) == path


def test_removing_leaves_the_rest() -> None:
    value = {"a": [{"x": 1, "y": 2}, {"y": 3}], "b": 1}
    for text in ("a[*].x", "b", "missing.z"):
        paths.remove(paths.parse(text), value)
    assert value == {"a": [{"y": 2}, {"y": 3}]}
