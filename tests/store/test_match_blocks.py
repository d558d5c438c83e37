"""Lines of the match index are found in their blocks, whatever stands in them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.store.match_blocks import BLOCK_BITS, Line, by_block, lines_in, lines_of, merged, packed, unpacked

LINES = {
    1: Line(1, "crm/contact/1", ["[12,", "\n[12,"], []),
    12: Line(12, "crm/contact/12", ["ada", None, True], ["01a@x.example"]),
    13: Line(13, "crm/contact/\n[14,", ["élodie"], []),
}


def _block() -> bytes:
    return merged([0], {}, LINES)[0]


@pytest.mark.parametrize("record", sorted(LINES))
def test_a_record_is_found_at_the_start_within_and_at_the_end_of_a_block(record: int) -> None:
    assert list(lines_in(unpacked(_block()), [record])) == [LINES[record]]


def test_what_only_looks_like_a_line_is_none() -> None:
    assert list(lines_in(unpacked(_block()), [2, 14, 123])) == []


def test_lines_come_in_the_order_in_which_they_are_asked_for() -> None:
    assert [line.record for line in lines_in(unpacked(_block()), [13, 2, 1])] == [13, 1]


def test_a_block_holds_what_was_put_in_and_not_what_was_taken_out() -> None:
    block = merged([0], {0: _block()}, {12: None})[0]

    assert list(lines_of(block)) == [LINES[1], LINES[13]]
    assert unpacked(packed(pa.array([unpacked(block)]))[0].as_py()) == unpacked(block)


def test_records_are_asked_for_once_in_the_block_they_share() -> None:
    size = 1 << BLOCK_BITS

    assert by_block([1, size, 12, 1]) == {0: [1, 12], 1: [size]}
