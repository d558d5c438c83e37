"""A store that tests fill with parties, links, relationships and facts, as the stages before would."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from pipelines.context import StageContext
from pipelines.influence import run
from pipelines.store import Store, WriteTransaction, retractions
from pipelines.store.tables import metadata

TABLES = metadata.tables
INSTANT = pa.timestamp("us", tz="UTC")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Hub:
    """Keys look like ``crm/ada``: the connection, then the record; an organisation's record begins with a capital."""

    def __init__(self, store: Store) -> None:
        self.store, self.ids = store, dict[str, int]()
        self.golden = dict[str, int]()

    def context(self, *, full: bool = False) -> StageContext:
        config: Any = SimpleNamespace()
        return StageContext(config=config, store=self.store, now=lambda: day("2026-06-01"), full=full)

    def run(self, *, full: bool = False) -> dict[str, int]:
        return run(self.context(full=full)).counts

    def link(self, entity_id: int, *keys: str) -> None:
        """Say that these records are one party."""
        self._write(lambda tx: self._link(tx, entity_id, keys))

    def unlink(self, *keys: str) -> None:
        rows = pa.table({"source_record_id": pa.array([self.record(key) for key in keys], pa.int64())})
        self._write(lambda tx: tx.delete(TABLES["crosswalk"], rows))

    def retract(self, connection: str) -> None:
        """Take a connection back, its facts too; the links of its parties are not this stage's to end."""
        self._write(lambda tx: retractions.begin(tx, connection, None, "test", 0))
        self._settle()

    def put_back(self, connection: str) -> None:
        """Undo the connection's newest retraction."""
        mine = [one for one in retractions.retractions(self.store, 1) if one.connection_id == connection]
        self._write(lambda tx: retractions.undo(tx, mine[-1].retraction_id))
        self._settle()

    def _settle(self) -> None:
        with self.store.acquire("test") as lease:
            retractions.settle(self.store, lease, actor="test")

    def say(
        self,
        told_by: str,
        *relations: tuple[str, str, str] | tuple[str, str, str, dict[str, Any]],
        at: str = "2026-01-01",
    ) -> None:
        """Make these (from, to, type, other terms) all that a record says of relationships."""
        rows = [self._relation(one, number) for number, one in enumerate(relations)]
        self._set(told_by, "relationship", rows, at)

    def fact(self, key: str, entity: str, *, at: str = "2026-01-01", **terms: Any) -> None:
        """Make one fact; a text with a slash is a party."""
        self._set(key, entity, [{"row_key": "", **{n: self._value(v) for n, v in terms.items()}}], at)

    def meeting(self, key: str, *parties: str, at: str = "2026-01-01") -> None:
        """Make an interaction with these participants."""
        number = self.record(key)
        rows = [{"row_key": party, "interaction": number, "party": self.record(party)} for party in parties]
        self._set(key, "interaction_participant", rows, at)

    def absent(
        self,
        key: str,
        since: str | None = None,
        until: str | None = None,
        role: str = "absent",
        *,
        of: str | None = None,
    ) -> None:
        """Make this all that a record says of roles: its own, or of another party."""
        dates = {"valid_from": since and day(since), "valid_to": until and day(until)}
        party = self.record(of or key)
        self._set(key, "party_role", [{"row_key": role, "party": party, "role": role, **dates}], "2026-01-01")

    def record(self, key: str) -> int:
        if key not in self.ids:
            connection, _, name = key.partition("/")
            entity = "organization" if name[:1].isupper() else "person"
            ref = pa.table({"connection_id": [connection], "object": ["thing"], "source_key": [name],
                            "entity": [entity], "is_stub": [False]})  # fmt: skip
            found: list[int] = []
            self._write(lambda tx: found.append(tx.intern(ref).column("source_record_id")[0].as_py()))
            self.ids[key] = found[0]
        return self.ids[key]

    def rows(self, table: str = "golden_relationship") -> list[dict[str, Any]]:
        """All rows of a table without bookkeeping, in the order of their keys."""
        left_out = {"tenant_id", "change_seq", "actor", "cause", "known_from", "known_to"}
        found = self.store.read(TABLES[table].select())
        rows = [{name: value for name, value in row._mapping.items() if name not in left_out} for row in found]
        return sorted(
            rows, key=lambda row: repr([row[column.name] for column in TABLES[table].primary_key if column.name in row])
        )

    def held(self, type_: str) -> list[tuple[Any, ...]]:
        """(from, to, valid_from, valid_to, conflict) of one kind of relation, dates as texts."""
        return [
            (row["from_id"], row["to_id"], _text(row["valid_from"]), _text(row["valid_to"]), row["conflict"])
            for row in self.rows() if row["type"] == type_
        ]  # fmt: skip

    def _relation(self, told: tuple[Any, ...], number: int) -> dict[str, Any]:
        terms = {name: self._value(value) for name, value in (told[3] if len(told) > 3 else {}).items()}
        return {
            "row_key": str(number),
            "from_party": self.record(told[0]),
            "to_party": self.record(told[1]),
            "type": told[2],
            **terms,
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, str) and "/" in value:
            return self.record(value)
        return day(value) if isinstance(value, str) and value[:2] in ("19", "20") and len(value) == 10 else value

    def _set(self, key: str, entity: str, rows: list[dict[str, Any]], at: str) -> None:
        number, table = self.record(key), TABLES[entity]
        names = sorted({name for row in rows for name in row})
        columns = {name: _column([row.get(name) for row in rows], table.c[name].type) for name in names}
        told = pa.table({
            "source_record_id": pa.array([number] * len(rows), pa.int64()), "row_key": pa.array([], pa.string()),
            **columns, "record_time": pa.array([day(at)] * len(rows), INSTANT),
        } if rows else {"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())})  # fmt: skip
        self._write(lambda tx: tx.replace_set(table, pa.table({"source_record_id": [number]}), told))

    def _link(self, tx: WriteTransaction, entity_id: int, keys: tuple[str, ...]) -> None:
        entities = ["organization" if key.partition("/")[2][:1].isupper() else "person" for key in keys]
        ids = pa.array([self.ids[key] for key in keys], pa.int64())
        rows = pa.table({"source_record_id": ids, "entity": entities, "entity_id": [entity_id] * len(keys)})
        tx.upsert(TABLES["crosswalk"], rows)

    def _write(self, change: Any) -> None:
        with self.store.acquire("test") as lease, self.store.write(lease, cause="test") as tx:
            change(tx)


def _column(values: list[Any], kind: Any) -> pa.Array:
    from pipelines.store.arrow_in import logical_type

    return pa.array([Decimal(str(v)) if isinstance(v, float) else v for v in values], logical_type(kind))


def _text(value: datetime | None) -> str | None:
    return None if value is None else value.date().isoformat()


def parties(hub: Hub, **golden: str | tuple[str, ...]) -> None:
    """Link records to golden ids: ``parties(hub, _1="crm/ada", _2=("crm/bob", "desk/bob"))``."""
    for number, keys in golden.items():
        names = (keys,) if isinstance(keys, str) else keys
        for key in names:
            hub.record(key)
        hub.link(int(number[1:]), *names)
