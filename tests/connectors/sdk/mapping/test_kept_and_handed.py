"""``keep:`` (wanted in extras), ``json:`` (a whole value for a hook), and long texts from Python functions in ``first:``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.connectors.sdk.mapping.vendor import mapper

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "streams:\n  things:\n    emit:\n      - entity: person\n        terms:\n"
COUNT_HOOK = """
from __future__ import annotations
import json

def count(items: str | None) -> str | None:
    return None if items is None else str(len(json.loads(items)))
"""


def test_a_kept_path_is_in_extras_and_not_reported(tmp_path: Path) -> None:
    keep = "          given_name: first\n    keep: [{path: custom, reason: custom fields}]\n"

    outcome = mapper(tmp_path, HEAD + keep)({"id": 1, "first": "Ada", "custom": {"a": 1}, "new": 2})

    assert outcome.only("person")["extras"] == {"custom.a": 1, "new": 2}
    assert dict(outcome.batch.unmapped) == {"new": 1}


def test_a_hook_takes_a_whole_list_whose_inside_still_has_to_be_accounted_for(tmp_path: Path) -> None:
    term = "          full_name: {hook: count, args: [{json: parts}]}\n"

    outcome = mapper(tmp_path, HEAD + term, hooks=COUNT_HOOK)({"id": 1, "parts": [{"n": "x"}, {"n": "y"}]})

    assert outcome.only("person")["full_name"] == "2"
    assert dict(outcome.batch.unmapped) == {"parts": 1}


def test_the_first_of_several_normalised_texts_is_that_records_own_however_long(tmp_path: Path) -> None:
    term = "          full_name: {first: [{path: a, transform: [strip_html]}, {path: b, transform: [strip_html]}, c]}\n"
    texts = [
        (None if n % 2 else f"a rather long first text {n}", None if n % 3 else f"a rather long second text {n}")
        for n in range(600)
    ]
    records = [{"id": n, "a": a, "b": b, "c": f"a rather long third text {n}"} for n, (a, b) in enumerate(texts)]

    outcome = mapper(tmp_path, HEAD + term)(*records)

    found = {row["source_key"]: row["full_name"] for row in outcome.rows("person")}
    assert found == {str(n): a or b or f"a rather long third text {n}" for n, (a, b) in enumerate(texts)}
