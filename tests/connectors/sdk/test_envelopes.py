"""Answers read as the ones before them: whatever came before, each is read as if it were the first."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.body import Body, Malformed
from connectors.sdk.envelopes import Envelopes
from connectors.sdk.paths import parse

_PATHS = [
    parse(path)
    for path in ("items", "items[0]", "items[-1].id", "items[*]", "items[*].id", "meta", "meta.next", "x.items")
]
_values = st.sampled_from([None, 1, 1.5, "text", [], [1], [{"id": 1}, {"id": "ü"}], {}, {"next": "2", "items": [3]}])
_answers = st.dictionaries(st.sampled_from(["items", "meta", "x", 'a"b', "ü"]), _values, max_size=4)
_spoilt = st.sampled_from(
    ['{"items": [NaN]}', '{"items": [1], "items": [2]}', '{"items": [1', '{"items": [1]} x', "[1]", "", "{}"]
)
_contents = st.one_of(_answers.map(json.dumps), _answers.map(lambda one: json.dumps(one, indent=2)), _spoilt)


def _read(content: bytes, envelopes: Envelopes | None) -> list[Any]:
    """Return all that can be asked of an answer, in the order of the paths."""
    try:
        body = Body(content, envelopes).check()
    except Malformed as why:
        return [str(why)]
    return [found for path in _PATHS for found in (_cut(body, path), body.get(path), body.raw(path))]


def _cut(body: Body, path: Any) -> Any:
    try:
        found = body.cut(path)
    except Malformed as why:
        return str(why)
    return list(map(bytes, found)) if isinstance(found, list) else found


@given(st.lists(_contents, max_size=12))
def test_no_answer_is_read_otherwise_because_of_those_before_it(contents: list[str]) -> None:
    envelopes = Envelopes()

    for content in contents:
        assert _read(content.encode(), envelopes) == _read(content.encode(), None)


def test_an_answer_like_the_one_before_it_is_known_and_another_one_is_not() -> None:
    envelopes = Envelopes()

    Body(b'{"items": [1], "next": 2}', envelopes).check()

    assert envelopes.read(b'{"items": [3]}') is not None
    assert envelopes.read(b'{"items": null}') is None
    assert envelopes.read(b'{"items": [3], "more": 1}') is None


def test_a_vendor_whose_answers_are_ever_other_ones_is_not_learned_from_for_ever() -> None:
    envelopes = Envelopes()

    for number in range(20):
        Body(b'{"items": [], "n%d": 1}' % number, envelopes).check()

    assert envelopes.read(b'{"items": []}') is None
