"""Normalisers give one normal form or nothing; each distinct value is computed once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from connectors.sdk.mapping import normalisers
from connectors.sdk.mapping.screen import exact_numbers


@pytest.mark.parametrize(
    ("function", "arguments", "made"),
    [
        (normalisers.phone, ("020 7946 0958", "GB"), "+442079460958"),
        (normalisers.phone, ("020 7946 0958", "United Kingdom"), "+442079460958"),
        (normalisers.phone, ("+49 30 123456", None), "+4930123456"),
        (normalisers.phone, ("020 7946 0958", None, "GB"), "+442079460958"),
        (normalisers.phone, ("020 7946 0958", None), None),
        (normalisers.phone, ("n/a", "GB"), None),
        (normalisers.country, ("united kingdom",), "GB"),
        (normalisers.country, ("DEU",), "DE"),
        (normalisers.country, ("Narnia",), None),
        (normalisers.language, ("en_gb",), "en-GB"),
        (normalisers.language, ("zh-hans-CN",), "zh-Hans-CN"),
        (normalisers.language, ("German",), "de"),
        (normalisers.language, ("Klingonese!",), None),
        (normalisers.currency, ("eur",), "EUR"),
        (normalisers.currency, ("Pound Sterling",), "GBP"),
        (normalisers.strip_html, ("<p>a &amp; b<br>c</p><script>x()</script>",), "a & b\nc"),
        (normalisers.strip_html, ("<p> </p>",), None),
        (normalisers.title, ("o'neil ÉMILE",), "O'neil Émile"),
    ],
)
def test_a_value_has_one_normal_form_or_none(function, arguments, made):
    assert function(*arguments) == made


def test_each_distinct_value_is_computed_once():
    seen = []
    column = pa.chunked_array([["a", "b", None, "a"], ["b"]])

    made = normalisers.on_distinct(lambda text: seen.append(text) or text.upper(), [column], nulls=False)

    assert made == ["A", "B", None, "A", "B"]
    assert sorted(seen) == ["a", "b"]


def test_numbers_are_quoted_only_where_a_double_would_change_them():
    payload = (
        '{"a": 0.1, "b": 12345678901234567890.5, "c": "1.00000000000000000001", "d": 12345678901234567890, "e": 1e400}'
    )

    assert exact_numbers(payload) == (
        '{"a": 0.1, "b": "12345678901234567890.5", "c": "1.00000000000000000001", "d": 12345678901234567890, "e": "1e400"}'
    )
