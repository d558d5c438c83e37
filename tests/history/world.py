"""A store that the stages before resolve would have filled, and the master stages over it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import insert

from pipelines import channels, golden, influence, resolve
from pipelines.config import HubConfig
from pipelines.context import StageContext
from pipelines.store import Store, reads, tables
from pipelines.store.tables import raw_head
from tests.golden.tables import day

T = tables.metadata.tables
_DERIVED = {"change_seq", "known_from", "actor", "cause"}
_INSTANT = pa.timestamp("us", tz="UTC")
Said = dict[str, Any]
"""What a record says: connection, key, at, and any of given_name, family_name, job_title, email, phone, verified."""


class World:
    """Lands people as normalise would and brings the golden records up to date; its clock moves a minute a step."""

    def __init__(self, store: Store, connections: tuple[str, ...] = ("crm", "desk")) -> None:
        self.store, self.clock, self.ids = store, day("2026-01-01"), dict[str, int]()
        self.write(lambda tx: [reads.register_connection(tx, name, name, 0) for name in connections])

    def now(self) -> datetime:
        return self.clock

    def context(self, *, full: bool = False) -> StageContext:
        url = str(self.store.url)
        config = HubConfig(store_url=url, landing_url="memory://", connections=(), path=Path("unisono.yaml"))
        return StageContext(config=config, store=self.store, now=self.now, entity="person", full=full)

    def land(self, *people: Said) -> None:
        """Write what these records say now; a record that says nothing but key and time was deleted."""
        self.clock += timedelta(minutes=1)
        self.write(lambda tx: self._land(tx, people))

    def master(self, *, full: bool = False) -> None:
        """Run resolve and golden."""
        self.clock += timedelta(minutes=1)
        resolve.run(self.context(full=full))
        golden.run(self.context(full=full))

    def around(self) -> None:
        """Run channels and influence, which follow golden."""
        channels.run(self.context())
        influence.run(self.context())

    def relate(self, teller: str, boss: str | None, at: datetime, **dates: datetime) -> None:
        """A record says to whom its person reports (and from when, until when); or nothing any more."""
        own = {"source_record_id": [self.ids[teller]]}
        told = {**own, "row_key": ["boss"], "from_party": own["source_record_id"], "to_party": [self.ids[boss or teller]],
                "type": ["reports_to"], "record_time": [at]}  # fmt: skip
        told |= {name: pa.array([dates.get(name)], _INSTANT) for name in ("valid_from", "valid_to")}
        rows = pa.table(told).slice(0, int(boss is not None))
        self.write(lambda tx: tx.replace_set(T["relationship"], pa.table(own), rows))

    def prefer(self, teller: str, at: datetime, quiet: str | None = None, channel: str | None = None) -> None:
        """A record says until when it is to be left alone and what channel it prefers; or nothing any more."""
        own = {"source_record_id": [self.ids[teller]]}
        told = {"row_key": ["channel", "quiet_hours"], "kind": ["channel", "quiet_hours"], "record_time": [at] * 2,
                "preferred_channel": [channel, None], "time_from": [None, "12:00"], "time_to": [None, quiet]}  # fmt: skip
        numbers = own["source_record_id"] * 2
        rows = pa.table({"source_record_id": numbers, "party": numbers, **told})
        kept = pa.array([channel is not None, quiet is not None])
        self.write(lambda tx: tx.replace_set(T["preference"], pa.table(own), rows.filter(kept)))

    def happen(self, name: str, word: str, at: datetime, connection: str = "crm") -> None:
        """Something happened to a message that was sent to a record's person; the event is a record of its own."""
        key = f"{name} {at.isoformat()}"
        ref = {"connection_id": [connection], "object": ["event"], "source_key": [key], "entity": ["interaction"]}
        row = {"row_key": [""], "party": [self.ids[name]], "type": ["email"], "channel": ["email"], "action": [word],
               "occurred_at": [at]}  # fmt: skip

        def told(tx: Any) -> None:
            own = {"source_record_id": tx.intern(pa.table(ref | {"is_stub": [False]}))["source_record_id"].to_pylist()}
            tx.replace_set(T["interaction"], pa.table(own), pa.table(own | row))

        self.write(told)

    def links(self) -> dict[int, int]:
        return {row.source_record_id: row.entity_id for row in self.store.read(T["crosswalk"].select())}

    def golden(self) -> dict[int, dict[str, Any]]:
        """Golden rows by id, without what only says how they came about."""
        rows = self.store.read(T["golden_person"].select())
        return {row.entity_id: {k: v for k, v in row._mapping.items() if k not in _DERIVED} for row in rows}

    def state(self) -> tuple[Any, ...]:
        """Links, golden rows and the standing of every id: what must come back byte by byte."""
        ids = {row.entity_id: (row.status, row.current_id) for row in self.store.read(T["entity_id"].select())}
        return self.links(), self.golden(), ids

    def seq(self) -> int:
        return int(self.store.read(T["counter"].select().where(T["counter"].c.name == "change_seq"))[0].value)

    def write(self, change: Any) -> None:
        """Change the store in one transaction, as a stage before resolve would."""
        lease = self.store.acquire("ingest/test", now=self.now)
        with lease, self.store.write(lease, cause="test") as tx:
            change(tx)

    def _land(self, tx: Any, people: tuple[Said, ...]) -> None:
        n, names = len(people), [f"{p['connection']}/{p['key']}" for p in people]
        refs = {
            "connection_id": [p["connection"] for p in people],
            "object": ["contact"] * n,
            "source_key": [str(p["key"]) for p in people],
            "entity": ["person"] * n,
            "is_stub": [False] * n,
        }
        ids = tx.intern(pa.table(refs))["source_record_id"].to_pylist()
        self.ids |= dict(zip(names, ids, strict=True))
        at = [day(p["at"]) for p in people]
        live = [(i, p, t) for i, p, t in zip(ids, people, at, strict=True) if "family_name" in p]
        parents = pa.table({"source_record_id": ids, "deleted_at": at})
        tx.replace_set(T["person"], parents, _persons(live))
        tx.replace_set(T["contact_point"], parents, _points(live))
        known = heads_known(tx)
        rows = [
            {**tx.change(raw_head), "source_record_id": i, "segment_id": 1, "row_no": 0, "hash": "h", "op": "upsert",
             "record_time": t, "last_read": 1}
            for i, t in zip(ids, at, strict=True) if i not in known
        ]  # fmt: skip
        if rows:
            tx.execute(insert(raw_head), rows)
        for i, t in zip(ids, at, strict=True):
            tx.execute(raw_head.update().where(raw_head.c.source_record_id == i).values(record_time=t))


def heads_known(tx: Any) -> set[int]:
    return {row[0] for row in tx.execute(raw_head.select().with_only_columns(raw_head.c.source_record_id))}


def _persons(live: list[tuple[int, Said, datetime]]) -> pa.Table:
    columns = {
        "source_record_id": pa.array([i for i, _, _ in live], pa.int64()),
        "row_key": pa.array([""] * len(live), pa.string()),
        "record_time": pa.array([t for _, _, t in live], pa.timestamp("us", tz="UTC")),
    }
    for term in ("given_name", "family_name", "job_title", "time_zone"):
        columns[term] = pa.array([p.get(term) for _, p, _ in live], pa.string())
    return pa.table(columns)


def _points(live: list[tuple[int, Said, datetime]]) -> pa.Table:
    told = [(i, kind, p, t) for i, p, t in live for kind in ("email", "phone") if p.get(kind)]
    values = pa.array([p[kind] for _, kind, p, _ in told], pa.string())
    ids = pa.array([i for i, _, _, _ in told], pa.int64())
    return pa.table({
        "source_record_id": ids,
        "row_key": pa.array([kind for _, kind, _, _ in told], pa.string()),
        "record_time": pa.array([t for _, _, _, t in told], pa.timestamp("us", tz="UTC")),
        "party": ids,
        "kind": pa.array([kind for _, kind, _, _ in told], pa.string()),
        "value": values,
        "value_norm": values,
        "verified": pa.array([p.get("verified", True) for _, _, p, _ in told], pa.bool_()),
    })  # fmt: skip


def person(connection: str, key: str, at: str, given: str, family: str, email: str | None, **more: Any) -> Said:
    """What a record says of a person."""
    said = {"given_name": given, "family_name": family, "email": email}
    return {"connection": connection, "key": key, "at": at, **said, **more}


def gone(connection: str, key: str, at: str) -> Said:
    """What is left of a record that the vendor deleted."""
    return {"connection": connection, "key": key, "at": at}
