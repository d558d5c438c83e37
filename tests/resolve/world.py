"""A seeded world of people for the store: duplicates with errors, families, shared mailboxes and a kiosk's phone."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.config import HubConfig
from pipelines.context import StageContext
from pipelines.resolve import run
from pipelines.store import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.report import StageReport
    from pipelines.store import Store

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
T = tables.metadata.tables
_GIVEN = [
    "ada",
    "bob",
    "carla",
    "dmitri",
    "eve",
    "farid",
    "grace",
    "hugo",
    "ines",
    "jonas",
    "katja",
    "liam",
    "mona",
    "nils",
    "olga",
    "pedro",
    "quentin",
    "rosa",
    "sven",
    "tara",
]
_FAMILY = [
    "abel",
    "brandt",
    "costa",
    "dumas",
    "ericson",
    "fischer",
    "gomez",
    "huber",
    "ivanov",
    "jansen",
    "keller",
    "lopez",
    "meyer",
    "novak",
    "olsen",
    "pereira",
]
_CITIES = ["bergen", "graz", "leeds", "lyon", "porto", "turin", "utrecht", "vigo"]


def people(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return ``count`` records of about half as many people; record ``key`` is its number."""
    rng = random.Random(seed)
    known = [_person(rng, number) for number in range(count // 2)]
    return [_record(rng, rng.choice(known), str(number)) for number in range(count)]


def with_stubs(people: Iterable[dict[str, Any]], seed: int = 7) -> list[dict[str, Any]]:
    """Return the people, some with half a name, some only an address by which somebody was named."""
    rng, listed = random.Random(seed), list(people)
    mails = [person["email"] for person in listed if person["email"]]
    changed = []
    for person in listed:
        chance = rng.random()
        if chance < 0.15:
            changed.append({"key": person["key"], "email": rng.choice(mails), "stub": True})
        elif chance < 0.4:
            changed.append({**person, rng.choice(("given_name", "family_name")): None})
        else:
            changed.append(person)
    return changed


def with_fathers(people: Iterable[dict[str, Any]], seed: int = 7) -> list[dict[str, Any]]:
    """Return the people; some records are those of a father of the same name in the same home, a few of his without a date."""
    rng, changed = random.Random(seed), []
    for person in people:
        chance = rng.random()
        if chance < 0.25 and person.get("birth_date"):
            father = {**person, "birth_date": f"{int(person['birth_date'][:4]) - 30}{person['birth_date'][4:]}"}
            for name in ("email", "phone"):
                if father.get(name):
                    father[name] = f"9{father[name]}"
            changed.append({**father, "birth_date": None} if chance < 0.05 else father)
        else:
            changed.append(person)
    return changed


def with_spouses(people: Iterable[dict[str, Any]], seed: int = 7) -> list[dict[str, Any]]:
    """Return the people with a gender and mostly a middle name, and beside half of those with a number a spouse who uses it."""
    rng, changed = random.Random(seed), []
    for person in people:
        middle = chr(ord("a") + sum(map(ord, f"{person.get('birth_date')}")) % 26) if rng.random() < 0.7 else None
        said = {**person, "middle_name": middle, "gender": rng.choice(("m", "male", None))}
        changed.append(said)
        if person.get("identifier") and rng.random() < 0.5:
            own = {"key": f"{person['key']}s", "given_name": "xenia", "gender": "f", "birth_date": None, "email": None}
            changed.append({**said, **own})
    return changed


def _person(rng: random.Random, number: int) -> dict[str, Any]:
    given, family = rng.choice(_GIVEN), rng.choice(_FAMILY) + rng.choice(["", "s", "en", "i", "berg"])
    mail = f"{given}.{family}{number % 97}@mail{number % 5}.example"
    if rng.random() < 0.08:
        mail = f"{family}@family.example"
    phone = f"47{number:08d}" if rng.random() < 0.9 else f"4711{rng.randrange(12):06d}"
    birth = f"{rng.randrange(1950, 2004)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    return {
        "given_name": given, "family_name": family, "birth_date": birth, "email": mail, "phone": phone,
        "city": rng.choice(_CITIES), "postcode": f"{rng.randrange(40):04d}", "street": f"{rng.randrange(90)} {family} road",
    }  # fmt: skip


def _record(rng: random.Random, person: dict[str, Any], key: str) -> dict[str, Any]:
    record = {**person, "key": key, "identifier": f"N{person['phone']}" if rng.random() < 0.1 else None}
    for term, chance in (("email", 0.25), ("phone", 0.3), ("birth_date", 0.3), ("city", 0.2), ("street", 0.3)):
        if rng.random() < chance:
            record[term] = None
    if rng.random() < 0.2:
        record["given_name"] = person["given_name"][: rng.randrange(1, 4)]
    if rng.random() < 0.15:
        name = person["family_name"]
        place = rng.randrange(len(name))
        record["family_name"] = name[:place] + rng.choice("aeions") + name[place + 1 :]
    return record


_SAID = ("given_name", "middle_name", "family_name", "birth_date", "gender")


def land(store: Store, people: Iterable[dict[str, Any]]) -> None:
    """Write people and what they can be reached by, as normalise would."""
    listed = list(people)
    with store.acquire("ingest/test") as lease, store.write(lease, cause="test") as tx:
        n = len(listed)
        refs = {"connection_id": ["crm"] * n, "object": ["contact"] * n, "source_key": [p["key"] for p in listed]}
        known = tx.intern(
            pa.table({**refs, "entity": ["person"] * n, "is_stub": [p.get("stub", False) for p in listed]})
        )
        number = dict(zip(known["source_key"].to_pylist(), known["source_record_id"].to_pylist(), strict=True))
        ids = [number[p["key"]] for p in listed]
        parents = pa.table({"source_record_id": pa.array(ids, pa.int64())})
        named = [(sid, p) for sid, p in zip(ids, listed, strict=True) if not p.get("stub")]
        names = {name: [p.get(name) for _, p in named] for name in _SAID}
        keys = {"source_record_id": [sid for sid, _ in named], "row_key": [""] * len(named)}
        tx.replace_set(T["person"], parents, _table({**keys, **names}))
        tx.replace_set(T["contact_point"], parents, _points(listed, ids))
        tx.replace_set(T["party_identifier"], parents, _identifiers(listed, ids))


def forget(store: Store, keys: Iterable[str]) -> None:
    """Delete people, as a vendor's delete does."""
    wanted = set(keys)
    record = tables.source_record
    rows = store.read_arrow(record.select()).to_pylist()
    ids = pa.array([row["source_record_id"] for row in rows if row["source_key"] in wanted], pa.int64())
    with store.acquire("ingest/test") as lease, store.write(lease, cause="test") as tx:
        for name in ("person", "contact_point", "party_identifier"):
            none = {"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())}
            tx.replace_set(T[name], pa.table({"source_record_id": ids}), pa.table(none))


def _points(listed: list[dict[str, Any]], ids: list[int]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sid, p in zip(ids, listed, strict=True):
        for kind in ("email", "phone"):
            if p.get(kind):
                sure = kind == "email" and len(p[kind]) % 3 == 0
                rows.append({"kind": kind, "value": p[kind], "value_norm": p[kind], "verified": sure, **_of(sid, kind)})
        if p.get("street") or p.get("city"):
            place = {name: p.get(name) for name in ("street", "city", "postcode")}
            rows.append(
                {"kind": "address", "value": None, "value_norm": None, "verified": None, **place, **_of(sid, "home")}
            )
    names = (
        "source_record_id",
        "row_key",
        "party",
        "kind",
        "value",
        "value_norm",
        "verified",
        "street",
        "city",
        "postcode",
    )
    return _table({name: [row.get(name) for row in rows] for name in names})


def _identifiers(listed: list[dict[str, Any]], ids: list[int]) -> pa.Table:
    rows = [(sid, p["identifier"]) for sid, p in zip(ids, listed, strict=True) if p.get("identifier")]
    sids = [sid for sid, _ in rows]
    return _table(
        {"source_record_id": sids, "row_key": ["id"] * len(rows), "party": sids, "system": ["tax_id"] * len(rows),
         "value": [value for _, value in rows], "verified": [None] * len(rows)}
    )  # fmt: skip


def _of(sid: int, key: str) -> dict[str, Any]:
    return {"source_record_id": sid, "row_key": key, "party": sid}


def _table(columns: dict[str, list[Any]]) -> pa.Table:
    whole = ("source_record_id", "party")
    kinds = {"verified": pa.bool_(), **dict.fromkeys(whole, pa.int64())}
    return pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()})


def resolve(store: Store, *, full: bool = False) -> StageReport:
    """Run the stage for people."""
    config = HubConfig(store_url=str(store.url), landing_url="memory://", connections=(), path=Path("unisono.yaml"))
    return run(StageContext(config=config, store=store, now=lambda: NOW, entity="person", full=full))
