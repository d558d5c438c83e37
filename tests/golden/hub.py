"""A store with two connections, and the few ways in which the stages before golden change it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from sqlalchemy import update

from pipelines.context import StageContext
from pipelines.golden import run
from pipelines.report import StageReport
from pipelines.store import Store, WriteTransaction
from pipelines.store.tables import metadata
from tests.golden.tables import day

TABLES = metadata.tables
INSTANT = pa.timestamp("us", tz="UTC")


class Hub:
    """A store with two connections, and the few ways in which the stages before change it."""

    def __init__(self, store: Store) -> None:
        self.store, self.ids = store, dict[str, int]()
        self._write(self._connections)

    def context(self, *, full: bool = False, policy: Path | None = None, at: str = "2026-06-01") -> StageContext:
        names = [SimpleNamespace(name=name) for name in ("crm", "desk")]
        config: Any = SimpleNamespace(survivorship=policy, connections=names, connectors={})
        return StageContext(config=config, store=self.store, now=lambda: day(at), entity="person", full=full)

    def counts(self, **options: Any) -> dict[str, int]:
        return self.run(**options).counts

    def run(self, **options: Any) -> StageReport:
        """Run the stage; ``at`` is the day on its clock."""
        return run(self.context(**options))

    def pin(self, number: int, key: str, term: str, value: Any, expires: str | None = None) -> None:
        """Pin a value on the person who holds this record, as a steward would."""
        row = {
            "decision_id": number, "entity": "person", "kind": "pin", "left_id": self.ids[key], "term": term,
            "value": value, "reason": "said so", "expires_at": expires and day(expires), "request_key": str(number),
            "decided_at": day("2026-05-30"),
        }  # fmt: skip
        self._write(lambda tx: tx.insert_row(TABLES["decision"], row))

    def unpin(self, number: int) -> None:
        """Close a pin."""
        table = TABLES["decision"]
        self._write(
            lambda tx: tx.execute(
                update(table)
                .where(table.c.decision_id == number)
                .values(known_to=tx.change_seq, change_seq=tx.change_seq)
            )
        )

    def person(self, key: str, at: str, email: str | None = None, *, stub: bool = False, **terms: Any) -> None:
        """Say what the source says now; ``key`` begins with the connection's name."""
        self._write(lambda tx: self._person(tx, key, day(at), email, stub, terms))

    def link(self, entity: int, *keys: str) -> None:
        """Say that these source records are one person."""
        ids = pa.array([self.ids[key] for key in keys], pa.int64())
        rows = pa.table({"source_record_id": ids, "entity": ["person"] * len(keys), "entity_id": [entity] * len(keys)})
        self._write(lambda tx: tx.upsert(TABLES["crosswalk"], rows))
        if not self.store.read(TABLES["entity_id"].select().where(TABLES["entity_id"].c.entity_id == entity)):
            row = {"entity_id": entity, "entity": "person", "status": "active", "minted_seq": 1}
            self._write(lambda tx: tx.insert_row(TABLES["entity_id"], row))

    def unlink(self, *keys: str) -> None:
        rows = pa.table({"source_record_id": pa.array([self.ids[key] for key in keys], pa.int64())})
        self._write(lambda tx: tx.delete(TABLES["crosswalk"], rows))

    def role(self, key: str, role: str) -> None:
        number = self.ids[key]
        row = {"source_record_id": [number], "row_key": [""], "party": [number], "role": [role], "payload_hash": [role]}
        self._write(
            lambda tx: tx.replace_set(TABLES["party_role"], pa.table({"source_record_id": [number]}), pa.table(row))
        )

    def golden(self) -> dict[int, dict[str, Any]]:
        rows = self.store.read(TABLES["golden_person"].select())
        return {row.entity_id: dict(row._mapping) for row in rows}

    def _write(self, change: Any) -> None:
        with self.store.acquire("test") as lease, self.store.write(lease, cause="test") as tx:
            change(tx)

    def _connections(self, tx: WriteTransaction) -> None:
        for name in ("crm", "desk"):
            values = {"connection_id": f"{name}-1", "name": name, "connector": name, "connector_major": 0}
            tx.insert_row(TABLES["connection"], values)

    def _person(
        self, tx: WriteTransaction, key: str, at: datetime, email: str | None, stub: bool, terms: dict[str, Any]
    ) -> None:
        connection = f"{key.partition('/')[0]}-1"
        ref = {
            "connection_id": [connection],
            "object": ["contact"],
            "source_key": [key],
            "entity": ["person"],
            "is_stub": [stub],
        }
        number = tx.intern(pa.table(ref)).column("source_record_id")[0].as_py()
        self.ids[key] = number
        owner = pa.table({"source_record_id": [number]})
        times = pa.array([at], INSTANT)
        if not stub:
            row = {"source_record_id": [number], "row_key": [""], "record_time": times, "payload_hash": [repr(terms)]}
            tx.replace_set(TABLES["person"], owner, pa.table(row | {name: [value] for name, value in terms.items()}))
        point = {"source_record_id": [number], "row_key": ["e"], "party": [number], "kind": ["email"], "value": [email],
                 "record_time": times, "payload_hash": [str(email)]}  # fmt: skip
        tx.replace_set(TABLES["contact_point"], owner, pa.table(point) if email else pa.table(point).slice(1))
