"""Which documents are looked at for long real numbers: those of which a plain regular expression says so, and no others."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.mapping.screen import LONG_NUMBER, _long_numbers, with_exact_numbers

_LONG = re.compile(rf"[0-9.eE+-]{{{LONG_NUMBER},}}")
_PIECES = st.one_of(
    st.text("0123456789.eE+-", min_size=LONG_NUMBER - 6, max_size=LONG_NUMBER + 6),
    st.text('0123456789.eE+-", {}:xäß', max_size=12),
)
_TEXTS = st.lists(_PIECES, max_size=5).map(lambda pieces: "{" + "".join(pieces) + "}")


@given(st.lists(_TEXTS, max_size=12), st.integers(0, 3), st.integers(0, 12))
def test_the_documents_found_are_those_of_the_regular_expression(texts: list[str], first: int, count: int) -> None:
    some = pa.array(texts, pa.string()).slice(first, count)

    assert _long_numbers(some) == [place for place, text in enumerate(some.to_pylist()) if _LONG.search(text)]


def test_a_run_is_found_wherever_in_the_bytes_it_begins_and_no_shorter_one_is() -> None:
    for before in range(9):
        long, short = ("{" + "x" * before + "1" * size + "}" for size in (LONG_NUMBER, LONG_NUMBER - 1))

        assert _long_numbers(pa.array([short, long, short])) == [1]


def test_long_numbers_are_kept_in_every_chunk_and_documents_without_them_are_not_copied() -> None:
    chunks = [
        ['{"a": 1.5}', '{"a": 0.1000000000000000055}'],
        ['{"b": 12345678901234567890.5}', '{"b": 12345678901234567890}'],
    ]
    table = pa.table({"payload": pa.chunked_array(chunks)})
    plain = pa.table({"payload": pa.chunked_array([['{"a": 1.5}'], ['{"b": "2024-01-01T00:00:00.000000Z"}']])})

    assert with_exact_numbers(table).column("payload").to_pylist() == [
        '{"a": 1.5}', '{"a": "0.1000000000000000055"}', '{"b": "12345678901234567890.5"}', '{"b": 12345678901234567890}',
    ]  # fmt: skip
    assert with_exact_numbers(plain) is plain
