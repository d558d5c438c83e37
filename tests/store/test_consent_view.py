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
    return statuses(store)


def statuses(store: Store) -> dict[tuple[Any, ...], str]:
    rows = store.query(
        "SELECT entity_id, contact_value_norm, channel, topic, status FROM v1_effective_consent WHERE purpose = 'marketing'"
    ).rows
    found = {row[:-1]: row[-1] for row in rows}
    assert len(found) == len(rows), "one row per party and slot"
    return found


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


OTHER = ("email", "bob@example.org")
BOB = (2, "bob@example.org", "email", None)


def test_a_refusal_that_names_no_contact_point_concerns_nobody_else(store: Store):
    found = effective(
        store, act("granted", day=1), act("denied", day=2, point=PARTY_WIDE, source="2"), same_entity=False
    )

    assert found == {SLOT: "granted", (2, None, "email", None): "denied"}


def test_a_refusal_binds_its_contact_point_at_every_party_that_has_it(store: Store):
    has(store, 3, EMAIL)
    found = effective(store, act("granted", day=1), act("denied", day=2, source="2"), same_entity=False)

    assert found == {SLOT: "denied", (2, *SLOT[1:]): "denied", (3, *SLOT[1:]): "denied"}


def test_a_refusal_of_a_record_that_is_linked_to_nobody_binds_its_contact_point_too(store: Store):
    effective(store, act("granted", day=1), act("denied", day=2, source="2"), same_entity=False)
    with writing(store) as tx:
        tx.execute(T["crosswalk"].delete().where(T["crosswalk"].c.entity_id == 2))

    assert statuses(store) == {SLOT: "denied"}


@pytest.mark.parametrize(
    ("acts", "ada", "bob"),
    [
        ([act("denied", day=1), act("granted", day=9, authenticated=True, source="2")], "denied", "granted"),
        ([act("denied", day=1), act("granted", day=9, source="2")], "denied", "denied"),
        ([act("denied", day=1), act("granted", day=9, authenticated=True), act("granted", day=0, source="2")], "granted", "granted"),
        ([act("granted", day=9, authenticated=True), act("unknown", source="2")], "granted", "unknown"),
    ],
    ids=["each speaks for itself", "a vendor's boolean does not", "who refused took it back", "a grant is nobody else's"],
)  # fmt: skip
def test_only_who_refused_or_the_party_itself_takes_a_refusal_back(
    store: Store, acts: list[dict[str, Any]], ada: str, bob: str
):
    found = effective(store, *acts, same_entity=False)

    assert found == {SLOT: ada, (2, *SLOT[1:]): bob}


def test_a_third_partys_grant_takes_nobodys_refusal_back(store: Store):
    has(store, 3, EMAIL)
    acts = act("denied", day=1), act("granted", day=9, authenticated=True, source="2")

    assert effective(store, *acts, same_entity=False)[3, *SLOT[1:]] == "denied"


def test_a_reachable_point_is_asked_on_every_channel_that_reaches_it(store: Store):
    for number, point in ((1, EMAIL), (1, ("phone", "+442079460000")), (2, OTHER)):
        has(store, number, point)
    acts = act("granted", day=1, point=PARTY_WIDE, channel="any"), act("denied", day=2, channel="sms", point=PARTY_WIDE)
    effective(store, *acts, act("granted", day=1, point=OTHER, source="2"), same_entity=False)

    rows = store.query("SELECT value_norm, channel, consent FROM v1_reachable WHERE may_contact ORDER BY 1, 2").rows
    assert rows == [
        ("+442079460000", "phone", "granted"), ("+442079460000", "whatsapp", "granted"),
        ("ada@example.org", "email", "granted"), ("bob@example.org", "email", "granted"),
    ]  # fmt: skip


def test_a_point_that_cannot_be_used_is_shown_and_not_to_be_contacted(store: Store):
    has(store, 1, EMAIL, state="undeliverable")
    effective(store, act("granted", day=1))

    rows = store.query("SELECT consent, state, may_contact FROM v1_reachable").rows
    assert [(*row[:2], bool(row[2])) for row in rows] == [("granted", "undeliverable", False)]


def test_nobody_may_be_contacted_of_whom_nothing_is_known(store: Store):
    has(store, 1, EMAIL)
    effective(store, act("unknown", day=1))

    assert store.query("SELECT 1 FROM v1_reachable WHERE may_contact").rows == []


def has(store: Store, number: int, point: tuple[str, str], *, state: str = "usable") -> None:
    """Say that a golden party has a contact point."""
    row = {"entity_id": number, "kind": point[0], "network": "", "value_norm": point[1], "entity": "person"}
    rest = {"value": point[1], "rank": 1, "state": state, "deliverability": 0.5, "sources": []}
    with writing(store) as tx:
        tx.put_row(T["golden_contact_point"], row | rest)


def test_a_party_without_a_golden_record_has_no_effective_consent(store: Store):
    ids = intern(store, "1")
    with writing(store) as tx:
        row = {"party": ids[0], "purpose": "marketing", "channel": "email", "status": "granted"}
        tx.put_row(T["consent"], {"source_record_id": ids[0], "row_key": "", **row})

    assert store.query("SELECT * FROM v1_effective_consent").rows == []
