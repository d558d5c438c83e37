"""Records: their own bytes, a hash of meaning, and a reason instead of an exception."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.body import MISSING, Body, Malformed
from connectors.sdk.envelopes import Raw
from connectors.sdk.paths import parse
from connectors.sdk.records import RecordReader, canonical_hash

from .vendor import manifest

if TYPE_CHECKING:
    from pathlib import Path

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def _reader(tmp_path: Path, **stream: Any) -> RecordReader:
    return RecordReader(manifest(tmp_path, stream).stream("things"), None)


def _cut(content: bytes, path: str) -> list[Raw]:
    found = Body(content).check().cut(parse(path))
    assert isinstance(found, list)
    return found


def _problem(tmp_path: Path, payload: bytes, **stream: Any) -> tuple[str, str]:
    record = _reader(tmp_path, **stream).cut([payload]).records[0]
    assert record.payload == payload
    assert record.hash is None
    assert record.problem is not None
    return record.problem


def test_a_records_bytes_are_the_vendors_own() -> None:
    content = b'{"meta": 1, "items": [ {"id" : 1.10,"x":"\\u00fc"} ,{"id":2 } ], "z": {}}'
    assert [bytes(one) for one in _cut(content, "items")] == [
        b'{"id" : 1.10,"x":"\\u00fc"}',
        b'{"id":2 }',
    ]


@given(st.lists(st.dictionaries(st.text(max_size=5), _values, max_size=4), max_size=5), st.integers(0, 3))
def test_cutting_gives_back_what_was_put_in(records: list[Any], indent: int) -> None:
    content = json.dumps({"a": {"items": records}, "b": [1]}, indent=indent or None).encode()
    assert [json.loads(bytes(one)) for one in _cut(content, "a.items")] == records


@given(_values)
def test_the_hash_ignores_member_order_and_white_space(value: Any) -> None:
    def turned(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: turned(inner) for key, inner in reversed(one.items())}
        return [turned(inner) for inner in one] if isinstance(one, list) else one

    plain, other = (
        json.dumps({"v": value}).encode(),
        json.dumps({"v": turned(value)}, indent=2, ensure_ascii=False).encode(),
    )
    assert canonical_hash(plain) == canonical_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":9007199254740993}', '{"a":9007199254740992}'),
        ('{"a":0.1}', '{"a":0.10000000000000001}'),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567891}'),
        ('{"a":"1"}', '{"a":1}'),
        ('{"a":null}', "{}"),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
    ],
)
def test_the_hash_tells_different_values_apart(one: str, other: str) -> None:
    assert canonical_hash(one.encode()) != canonical_hash(other.encode())


def test_volatile_paths_are_not_hashed() -> None:
    volatile = [parse("seen.at"), parse("links[*].signed")]
    first = canonical_hash(b'{"id":1,"seen":{"at":1},"links":[{"u":1,"signed":"a"}]}', volatile)
    assert first == canonical_hash(b'{"id":1,"seen":{"at":2},"links":[{"u":1,"signed":"b"}]}', volatile)
    assert first != canonical_hash(b'{"id":1,"seen":{"at":2},"links":[{"u":2,"signed":"b"}]}', volatile)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b'{"x":1}', "no key"),
        (b'{"id":""}', "no key"),
        (b'{"id":{"a":1}}', "the key is not text or a number"),
        (b'{"id":true}', "the key is not text or a number"),
        (b'{"id":1,"x":NaN}', "NaN"),
        (b'{"id":1,"x":"\\ud800"}', "surrogate"),
        (b'{"id":1,"x":["a\\u0000b"]}', "NUL"),
        (b'{"id":1,"x":"\xff"}', "unreadable"),
        (b'{"id":1,}', "unreadable"),
        (b"[1]", "not a JSON object"),
        (b'{"id":1,"x":' + b"[" * 300 + b"]" * 300 + b"}", "200 levels"),
        (b'{"id":1,"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", "200 levels"),
    ],
)
def test_an_unusable_record_has_a_reason(tmp_path: Path, payload: bytes, says: str) -> None:
    assert says in _problem(tmp_path, payload)[0]


def test_a_problem_names_its_path(tmp_path: Path) -> None:
    assert _problem(tmp_path, b'{"id":1,"x":["a\\u0000b"]}')[1] == "x[0]"
    assert _problem(tmp_path, b"{}", key="a.b")[1] == "a.b"


def test_an_escaped_backslash_is_no_nul(tmp_path: Path) -> None:
    assert _reader(tmp_path).cut([b'{"id":1,"x":"\\\\u0000"}']).records[0].problem is None


def test_a_record_that_is_too_large_has_a_reason(tmp_path: Path) -> None:
    reader = RecordReader(manifest(tmp_path).stream("things"), None, max_bytes=20)
    problem = reader.cut([b'{"id":1,"x":"' + b"a" * 50 + b'"}']).records[0].problem
    assert problem is not None
    assert problem.reason == "too large: 65 bytes, the limit is 20"


def test_one_bad_record_does_not_cost_its_page(tmp_path: Path) -> None:
    deep = b"[" * 3000 + b"]" * 3000
    content = (
        b'{"items":[{"id":1},{"id":2,"x":NaN},{"id":3,"y":"\\ud800"},{"id":4,"z":' + deep + b'},{"id":5}],"next":"a"}'
    )
    body = Body(content).check()
    records = _reader(tmp_path).cut(_cut(content, "items")).records
    assert [record.problem is None for record in records] == [True, False, False, False, True]
    assert body.get(parse("next")) == "a"


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b'{"items":[{"id":1}', b'{"items":[]', b'"text"', b"{} x", b'{"a":"']
)
def test_what_is_not_one_whole_document_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        Body(content).check()


def test_a_null_a_missing_and_a_wrong_list_are_told_apart() -> None:
    content = b'{"a":null,"b":{"c":1},"d":[[1],[2,3]]}'
    body = Body(content)
    assert body.cut(parse("a")) is None
    assert body.cut(parse("x")) is MISSING
    assert [bytes(one) for one in _cut(content, "d[*]")] == [b"1", b"2", b"3"]
    with pytest.raises(Malformed):
        body.cut(parse("b"))


def test_a_key_of_many_parts_is_joined(tmp_path: Path) -> None:
    record = _reader(tmp_path, key=["a", "b.c"]).cut([b'{"a":1,"b":{"c":"x"}}']).records[0]
    assert record.key == "1:x"


@pytest.mark.parametrize(
    ("form", "value", "instant"),
    [
        ("iso8601", '"2026-05-01T10:00:00.5+02:00"', "2026-05-01T08:00:00.500000+00:00"),
        ("epoch_s", "1777622400", "2026-05-01T08:00:00+00:00"),
        ("epoch_ms", '"1777622400001"', "2026-05-01T08:00:00.001000+00:00"),
        ("rfc2822", '"Fri, 01 May 2026 10:00:00 +0200"', "2026-05-01T08:00:00+00:00"),
        ("%d/%m/%Y %H:%M %z", '"01/05/2026 08:00 +0000"', "2026-05-01T08:00:00+00:00"),
    ],
)
def test_the_records_time_is_read_in_every_format(tmp_path: Path, form: str, value: str, instant: str) -> None:
    reader = _reader(tmp_path, record_time="at", record_time_format=form)
    record = reader.cut([b'{"id":1,"at":' + value.encode() + b"}"]).records[0]
    assert record.record_time is not None
    assert record.record_time.isoformat() == instant


def test_a_time_without_a_zone_is_a_problem_unless_the_connection_has_one(tmp_path: Path) -> None:
    reason, path = _problem(tmp_path, b'{"id":1,"at":"2026-05-01 10:00:00"}', record_time="at")
    assert "set timezone: on the connection" in reason
    assert path == "at"


@pytest.mark.parametrize(
    ("deleted", "op"),
    [
        ({"equals": "true"}, "delete"),
        ({"equals": ["x", True]}, "delete"),
        ({"equals": "x"}, "upsert"),
        ({"present": True}, "delete"),
    ],
)
def test_deletes_are_recognised(tmp_path: Path, deleted: dict[str, Any], op: str) -> None:
    reader = _reader(tmp_path, deleted={"path": "gone", **deleted})
    assert reader.cut([b'{"id":1,"gone":true}']).records[0].op == op


def test_the_parts_of_a_composite_key_cannot_be_mistaken_for_one_another(tmp_path: Path) -> None:
    reader = _reader(tmp_path, key=["a", "b"])
    pairs = [("a:b", "c"), ("a", "b:c"), ("a\\", ":b"), ("a\\:", "b")]
    keys = [reader.cut([json.dumps({"a": a, "b": b}).encode()]).records[0].key for a, b in pairs]
    assert len(set(keys)) == len(pairs)
    assert reader.cut([b'{"a": 7, "b": "x"}']).records[0].key == "7:x"
