"""A store and the few ways in which the stages before channels change it; every record is named ``<connection>/<key>``."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.channels import run
from pipelines.context import StageContext
from pipelines.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipelines.store import Store, WriteTransaction

T = metadata.tables
INSTANT = pa.timestamp("us", tz="UTC")


def at(text: str) -> datetime:
    """An instant from a date, or a date and a time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Hub:
    """Each method is one committed change, as a stage before this one would make it."""

    def __init__(self, store: Store) -> None:
        self.store, self.ids = store, dict[str, int]()

    def run(self, *, full: bool = False, policy: Path | None = None, entity: str = "person") -> dict[str, int]:
        """Run the stage; its counts."""
        config: Any = SimpleNamespace(channels=policy)
        context = StageContext(config=config, store=self.store, now=lambda: at("2026-06-01"), entity=entity, full=full)
        return run(context).counts

    def record(self, name: str, *, entity: str = "person", name_of: str = "contact") -> int:
        """The id of a source record, made when it is first named."""
        if name not in self.ids:
            connection, _, key = name.partition("/")
            ref = {"connection_id": [connection], "object": [name_of], "source_key": [key], "entity": [entity]}
            self.write(lambda tx: self._intern(tx, name, pa.table(ref | {"is_stub": [False]})))
        return self.ids[name]

    def link(self, number: int, *names: str, entity: str = "person") -> None:
        """Say that these records are one golden party."""
        ids = pa.array([self.record(name, entity=entity) for name in names], pa.int64())
        rows = {"source_record_id": ids, "entity": [entity] * len(ids), "entity_id": [number] * len(ids)}
        known = {"entity_id": number, "entity": entity, "status": "active", "minted_seq": 1}
        self.write(lambda tx: (tx.upsert(T["crosswalk"], pa.table(rows)), tx.put_row(T["entity_id"], known)))

    def unlink(self, *names: str) -> None:
        """Say that these records are nobody any more."""
        rows = pa.table({"source_record_id": pa.array([self.ids[name] for name in names], pa.int64())})
        self.write(lambda tx: tx.delete(T["crosswalk"], rows))

    def points(self, name: str, *points: dict[str, Any]) -> None:
        """Say all contact points of a record; a point's ``row_key`` is its place unless given."""
        self.rows("contact_point", name, [{"kind": "email", "record_time": at("2026-01-01")} | each for each in points])

    def acts(self, name: str, *acts: dict[str, Any]) -> None:
        """Say all consent acts of a record."""
        self.rows("consent", name, [{"purpose": "marketing", "channel": "email"} | each for each in acts])

    def states(self, name: str, *said: dict[str, Any]) -> None:
        """Say all that a record's person states of how to be contacted."""
        self.rows("preference", name, [{"record_time": at("2026-01-01")} | each for each in said])

    def event(self, name: str, word: str | None, when: str, *, party: str | None = None, **terms: Any) -> None:
        """Say that something happened; ``name`` is the event's own record, ``party`` whom it concerns."""
        row = {"occurred_at": at(when), "type": "email", "channel": "email", "action": word}
        row |= {"party": None if party is None else self.record(party)} | terms
        self.rows("interaction", name, [row], refers="party")

    def golden(self, number: int, **terms: Any) -> None:
        """Say what the golden person is."""
        row = {"entity_id": number, "source_count": 1, "is_stub": False} | terms
        self.write(lambda tx: tx.put_row(T["golden_person"], row))

    def rows(self, entity: str, name: str, rows: list[dict[str, Any]], *, refers: str | None = "party") -> None:
        """Make ``rows`` all that a record says in an entity."""
        number = self.record(name)
        own = {"source_record_id": number, refers or "source_record_id": number}
        full = [{**own, "row_key": str(n), "payload_hash": repr(row)} | row for n, row in enumerate(rows)]
        names = list(dict.fromkeys(key for row in full for key in row)) or ["source_record_id", "row_key"]
        table = pa.table({key: pa.array([row.get(key) for row in full], _type(key)) for key in names})
        parents = pa.table({"source_record_id": [number]})
        self.write(lambda tx: tx.replace_set(T[entity], parents, table))

    def write(self, change: Callable[[WriteTransaction], Any]) -> None:
        """Commit one change."""
        with self.store.acquire("test") as lease, self.store.write(lease, cause="test") as tx:
            change(tx)

    def found(self, table: str = "golden_contact_point") -> dict[Any, dict[str, Any]]:
        """The rows of a table of this stage, by their key, without what only says when they were written."""
        left_out = {"tenant_id", "change_seq", "actor", "cause"}
        rows = [dict(row._mapping) for row in self.store.read(T[table].select())]
        rows = [{name: row[name] for name in row if name not in left_out} for row in rows]
        return {(row["entity_id"], row["value_norm"]) if "value_norm" in row else row["entity_id"]: row for row in rows}

    def point_states(self) -> dict[tuple[int, str], str]:
        """The state of every golden contact point."""
        return {key: row["state"] for key, row in self.found().items()}

    def reachable(self, **wanted: Any) -> list[Any]:
        """The rows of ``v1_reachable`` as (entity_id, value_norm, channel, consent, may_contact), in order."""
        where = " AND ".join(["1 = 1", *(f"{name} = '{value}'" for name, value in wanted.items())])
        columns = "entity_id, value_norm, channel, consent, may_contact"
        found = self.store.query(f"SELECT {columns} FROM v1_reachable WHERE {where} ORDER BY 1, 2, 3, purpose, topic")
        return [(*row[:-1], bool(row[-1])) for row in found.rows]

    def _intern(self, tx: WriteTransaction, name: str, refs: pa.Table) -> None:
        self.ids[name] = tx.intern(refs).column("source_record_id")[0].as_py()


def _type(name: str) -> pa.DataType:
    if name in ("source_record_id", "party", "rank", "event_type", "author", "max_messages", "per_days"):
        return pa.int64()
    if name.endswith("_at") or name in ("record_time", "valid_from", "valid_to"):
        return INSTANT
    return pa.bool_() if name in ("verified", "deliverable", "authenticated") else pa.string()
