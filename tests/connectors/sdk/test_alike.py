"""Records read many at once are the records that are read one by one; what is odd keeps its own reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.alike import AT_ONCE
from connectors.sdk.records import RecordReader

from .vendor import manifest

if TYPE_CHECKING:
    from pathlib import Path

MORE: dict[str, Any] = {
    "record_time": "at",
    "incremental": {"cursor_path": "at", "start_param": "since"},
    "deleted": {"path": "gone", "equals": [True]},
    "volatile": ["seen.at"],
}
PLAIN = {"id": "a", "at": "2026-01-01T00:00:00.120Z", "seen": {"at": 1, "by": "x"}, "price": 1.10}
DEEP = '{"id": "d", "at": "2026-01-01T00:00:00Z", "x": ' + "[" * 250 + "]" * 250 + "}"
ODD = (
    {**PLAIN, "id": 7},
    {**PLAIN, "id": ""},
    {**PLAIN, "id": None},
    {"at": PLAIN["at"]},
    {**PLAIN, "at": "2026-01-01T02:00:00+02:00"},
    {**PLAIN, "at": "2026-01-01"},
    {**PLAIN, "at": "yesterday"},
    {**PLAIN, "at": 1_700_000_000},
    {**PLAIN, "at": None},
    {"id": "a"},
    {**PLAIN, "note": "a \0 b"},
    {**PLAIN, "note": r"no \u0000 at all"},
    {**PLAIN, "note": "x" * 3_000},
    [1],
    "text",
    3,
    None,
)


def _reader(tmp_path: Path, stream: dict[str, Any]) -> RecordReader:
    return RecordReader(manifest(tmp_path, stream).stream("things"), None, max_bytes=2_000)


def _payloads(*records: Any) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


def _numbered(count: int) -> list[bytes]:
    days = (f"2026-01-{1 + number % 28:02d}T00:00:00Z" for number in range(count))
    return _payloads(*({**PLAIN, "id": f"k{n}", "at": day, "gone": n % 7 == 0} for n, day in enumerate(days)))


@pytest.mark.parametrize(
    "stream", [{}, {"record_time": "at"}, MORE, {**MORE, "deleted": {"path": "gone", "present": True}}]
)
def test_many_at_once_are_what_each_is_alone(
    tmp_path: Path, stream: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, payloads = _reader(tmp_path, stream), _numbered(2 * AT_ONCE + 17)
    alone = reader._one_by_one(payloads, b"parent")
    monkeypatch.delattr(RecordReader, "_one_by_one")  # none of them is left to the reader of single records

    together = reader.cut(payloads, b"parent")

    assert together.records == alone.records
    assert together.high == alone.high
    assert len({record.hash for record in together.records}) == len(payloads)


@pytest.mark.parametrize(
    "odd", [*_payloads(*ODD), DEEP.encode(), b'{"id": "n", "x": NaN}', b'{"id": "s", "x": "\\ud800"}', b"{"]
)
@pytest.mark.parametrize("stream", [{}, MORE])
def test_an_odd_one_is_judged_alone_and_costs_the_others_nothing(
    tmp_path: Path, stream: dict[str, Any], odd: bytes
) -> None:
    reader, good = _reader(tmp_path, stream), _numbered(AT_ONCE + 3)
    payloads = [*good[:5], odd, *good[5:]]

    cut = reader.cut(payloads)

    assert cut == reader._one_by_one(payloads, None)
    assert [record.payload for record in cut.records] == payloads
    assert all(record.problem is None for record in (*cut.records[:5], *cut.records[6:]))


def test_a_deep_record_is_found_among_shallow_ones(tmp_path: Path) -> None:
    *shallow, deep = _reader(tmp_path, {}).cut([*_numbered(30), DEEP.encode()]).records

    assert deep.problem is not None
    assert "levels deep" in deep.problem.reason
    assert all(record.problem is None for record in shallow)


def test_records_with_many_brackets_need_not_be_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = _reader(tmp_path, {})
    monkeypatch.delattr(RecordReader, "_one_by_one")

    records = reader.cut(_payloads(*({"id": str(n), "all": [{}] * 100} for n in range(20)))).records

    assert [record.key for record in records] == [str(n) for n in range(20)]
