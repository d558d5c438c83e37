"""effective_consent: a denial holds until the same contact point is granted anew, newer and authenticated."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.store.rows import DAY, INSTANT, T, intern, writing

if TYPE_CHECKING:
    from pipelines.store import Store

EMAIL = ("email", "ada@example.org")
PARTY_WIDE = (None, None)


def act(
    status: str, *, day: int | None = None, authenticated: bool | None = None, source: str = "1", **other: Any
) -> dict[str, Any]:
    kind, value = other.pop("point", EMAIL)
    moment = None if day is None else DAY + timedelta(days=day)
    base = {"purpose": "marketing", "channel": "email", "topic": None, "status": status, "captured_at": moment}
    return (
        base
        | {"authenticated": authenticated, "contact_kind": kind, "contact_value_norm": value, "source": source}
        | other
    )


def effective(store: Store, *acts: dict[str, Any], same_entity: bool = True) -> dict[tuple[Any, ...], str]:
    sources = sorted({each["source"] for each in acts})
    ids = dict(zip(sources, intern(store, *sources), strict=True))
    rows = [
        {**each, "source_record_id": ids[each["source"]], "party": ids[each["source"]], "row_key": str(n)}
        for n, each in enumerate(acts)
    ]
    schema = pa.schema([(name, _type(name)) for name in rows[0] if name != "source"])
    links = {"source_record_id": list(ids.values()), "entity": ["person"] * len(ids)}
    links["entity_id"] = [1] * len(ids) if same_entity else list(ids.values())
    with writing(store) as tx:
        tx.upsert(T["consent"], pa.Table.from_pylist(rows, schema=schema))
        tx.upsert(T["crosswalk"], pa.table(links))
    result = store.query(
        "SELECT entity_id, contact_value_norm, channel, topic, status FROM v1_effective_consent WHERE purpose = 'marketing'"
    )
    return {row[:-1]: row[-1] for row in result.rows}


def _type(name: str) -> pa.DataType:
    kinds = {"captured_at": INSTANT, "authenticated": pa.bool_(), "source_record_id": pa.int64(), "party": pa.int64()}
    return kinds.get(name, pa.string())


SLOT = (1, "ada@example.org", "email", None)


@pytest.mark.parametrize(
    ("acts", "status"),
    [
        ([act("granted", day=1)], "granted"),
        ([act("unknown", day=1)], "unknown"),
        ([act("denied")], "denied"),
        ([act("granted", day=9), act("denied", day=1, source="2")], "denied"),
        ([act("granted", day=9, authenticated=True), act("denied", day=1, source="2")], "granted"),
        ([act("granted", day=1, authenticated=True), act("denied", day=1, source="2")], "denied"),
        ([act("granted", day=1, authenticated=True), act("denied", day=9)], "denied"),
        ([act("granted", authenticated=True), act("denied", day=1)], "denied"),
        ([act("granted", day=9, authenticated=True), act("denied")], "denied"),
        ([act("granted", day=9, authenticated=True), act("denied", day=1), act("denied", source="2")], "denied"),
        ([act("granted", day=1), act("denied", day=2, point=PARTY_WIDE, channel="any")], "denied"),
        ([act("granted", day=9, authenticated=True), act("denied", day=2, point=PARTY_WIDE)], "denied"),
        ([act("granted", day=1), act("denied", day=2, purpose="analytics")], "granted"),
        ([act("granted", day=1), act("denied", day=2, channel="sms")], "granted"),
        ([act("unknown", day=1), act("granted", day=2, point=PARTY_WIDE)], "granted"),
    ],
    ids=[
        "grant", "unknown", "denial", "newer grant, not authenticated", "newer authenticated grant of another source",
        "grant of the same instant", "older grant", "grant without a time", "denial without a time is never outlived",
        "one of two denials outlived", "party-wide denial on any channel", "grant for a point does not lift a party-wide denial",
        "another purpose", "another channel", "party-wide grant",
    ],
)  # fmt: skip
def test_the_most_restrictive_live_act_decides(store: Store, acts: list[dict[str, Any]], status: str):
    assert effective(store, *acts)[SLOT] == status


def test_a_denial_of_one_topic_leaves_the_others(store: Store):
    acts = act("granted", day=1, topic="news"), act("denied", day=2, topic="offers")

    found = effective(store, *acts)

    assert found == {(*SLOT[:3], "news"): "granted", (*SLOT[:3], "offers"): "denied"}


def test_a_denial_of_all_topics_denies_each(store: Store):
    found = effective(store, act("granted", day=1, topic="news"), act("denied", day=2))

    assert found == {(*SLOT[:3], "news"): "denied", SLOT: "denied"}


def test_another_golden_party_is_not_concerned(store: Store):
    found = effective(store, act("granted", day=1), act("denied", day=2, source="2"), same_entity=False)

    assert found == {SLOT: "granted", (2, *SLOT[1:]): "denied"}


def test_a_party_without_a_golden_record_has_no_effective_consent(store: Store):
    ids = intern(store, "1")
    with writing(store) as tx:
        row = {"party": ids[0], "purpose": "marketing", "channel": "email", "status": "granted"}
        tx.put_row(T["consent"], {"source_record_id": ids[0], "row_key": "", **row})

    assert store.query("SELECT * FROM v1_effective_consent").rows == []
