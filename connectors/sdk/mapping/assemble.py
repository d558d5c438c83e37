"""The typed columns of all emits → one table per entity, without the records that failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk.mapping import tree
from connectors.sdk.mapping.duckdb_types import quote
from connectors.sdk.mapping.normalisers import SEPARATOR
from connectors.sdk.mapping.rows import QUARANTINE, row_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from canonical_model import Vocabulary
    from connectors.sdk.mapping.run import CompiledStream, MappedBatch

Problems = dict[int, tuple[str, str]]
KEPT: Final = pa.schema([("rid", pa.int64()), ("path", pa.string()), ("raw", pa.string())])


@dataclass(frozen=True)
class Assembly:
    """Puts the emits of one batch together; ``live`` are its records by row number."""

    compiled: CompiledStream
    live: pa.Table
    connection: Any

    def rows(
        self, emitted: list[pa.Table], extras: pa.Array | None, bad: Problems, warnings: Counter[tuple[str, str]]
    ) -> dict[str, pa.Table]:
        """Return entity → rows; adds to ``bad`` the records that give one row key two meanings."""
        tables = self._with_terms(emitted)
        dropped = {entity: self._duplicates(entity, tables, bad, warnings) for entity in self._keyed()}
        pending = np.ones(self.live.num_rows, dtype=bool)
        made: dict[str, list[pa.Table]] = {}
        for (entity, table), statement in zip(tables, self.compiled.statements.emits, strict=True):
            whole = table.append_column("extras", self._extras(table, extras, pending))
            whole = self._good(whole, bad, dropped.get(statement.emit.entity, set()))
            made.setdefault(entity, []).append(self._finished(entity, whole))
        return {entity: pa.concat_tables(parts) for entity, parts in made.items()}

    def _with_terms(self, emitted: list[pa.Table]) -> list[tuple[str, pa.Table]]:
        """Name the columns by their terms and number the rows of all emits through."""
        found, start = [], 0
        for statement, table in zip(self.compiled.statements.emits, emitted, strict=True):
            columns = {"rid": table.column("rid"), "row_key": table.column("row_key")}
            columns |= {term.term: table.column(f"t{index}") for index, term in enumerate(statement.emit.terms)}
            columns["row_number"] = pa.array(range(start, start + table.num_rows), pa.int64())
            start += table.num_rows
            found.append((statement.emit.entity, pa.table(columns)))
        return found

    def _keyed(self) -> set[str]:
        """Return the entities whose row keys come from data and may therefore collide."""
        return {
            emit.entity
            for emit in self.compiled.tree.emits
            if emit.each is not None or not isinstance(emit.key, tree.Const)
        }

    def _duplicates(
        self, entity: str, tables: list[tuple[str, pa.Table]], bad: Problems, warnings: Counter[tuple[str, str]]
    ) -> set[int]:
        """Return the row numbers to leave out: repeats of an equal row. Unequal rows under one key are a problem."""
        parts = [table for name, table in tables if name == entity]
        slim = pa.concat_tables([part.select(["rid", "row_key"]) for part in parts])
        self.connection.register("keys", slim)
        hits = self.connection.execute(
            "SELECT DISTINCT rid FROM "
            "(SELECT rid FROM keys WHERE row_key IS NOT NULL GROUP BY rid, row_key HAVING count(*) > 1)"
        ).fetchall()
        if not hits:
            return set()
        rids = pa.array([rid for (rid,) in hits], pa.int64())
        seen: dict[tuple[int, str], dict[str, Any]] = {}
        repeats: set[int] = set()
        for part in parts:
            for row in part.filter(pc.is_in(part.column("rid"), rids)).to_pylist():
                number, key = row.pop("row_number"), (row["rid"], row["row_key"])
                filled = {name: value for name, value in row.items() if value is not None}
                if key not in seen:
                    seen[key] = filled
                elif seen[key] == filled:
                    repeats.add(number)
                    warnings[entity, "equal rows under one key: one kept"] += 1
                else:
                    bad.setdefault(row["rid"], (f"two different rows of {entity} under one row key", ""))
        return repeats

    def _extras(self, table: pa.Table, extras: pa.Array | None, pending: np.ndarray[Any, Any]) -> pa.Array:
        """Return the extras column: each record's leftovers on the first row it has anywhere."""
        if extras is None:
            return pa.nulls(table.num_rows, pa.string())
        rids = table.column("rid").to_numpy()
        records, first = np.unique(rids, return_index=True)
        free = pending[records]
        chosen = np.full(len(rids), -1, dtype=np.int64)
        chosen[first[free]] = records[free]
        pending[records] = False
        return extras.take(pa.array(chosen, mask=chosen < 0))

    def _good(self, table: pa.Table, bad: Problems, dropped: set[int]) -> pa.Table:
        if bad:
            table = table.filter(pc.invert(pc.is_in(table.column("rid"), pa.array(list(bad), pa.int64()))))
        if dropped:
            table = table.filter(pc.invert(pc.is_in(table.column("row_number"), pa.array(list(dropped), pa.int64()))))
        return table

    def _finished(self, entity: str, table: pa.Table) -> pa.Table:
        schema = row_schema(self.compiled.vocabulary.entities[entity])
        rids = table.column("rid")
        taken = {name: self.live.column(name).take(rids) for name in ("source_key", "record_time", "ordinal")}
        columns = []
        for column in schema:
            if column.name in taken:
                columns.append(taken[column.name])
            elif column.name in table.schema.names:
                columns.append(table.column(column.name).cast(column.type))
            else:
                columns.append(pa.nulls(table.num_rows, column.type))
        return pa.table(columns, schema=schema)


def extras_column(connection: Any, count: int, leftovers: pa.Table | None, kept: list[pa.Table]) -> pa.Array | None:
    """Return each record's extras by row number: its leftovers, and the raw values of lenient terms that failed."""
    if leftovers is not None:
        connection.register("leftovers", leftovers)
    table = _with_kept(connection, kept, has_leftovers=leftovers is not None) if kept else leftovers
    if table is None:
        return None
    index = np.full(count, -1, dtype=np.int64)
    index[table.column("rid").to_numpy()] = np.arange(table.num_rows)
    return table.column("extras").combine_chunks().take(pa.array(index, mask=index < 0))


def _with_kept(connection: Any, kept: list[pa.Table], *, has_leftovers: bool) -> pa.Table:
    """Merge raw values into the leftovers; several of one path, from a list's elements, become a list."""
    connection.register("kept", pa.concat_tables(kept))
    several = "to_json(list_sort(list(raw))::JSON[])"
    value = f"CASE WHEN count(*) = 1 AND NOT contains(path, '[*]') THEN any_value(raw)::JSON ELSE {several} END"
    raws = (
        "SELECT rid, CAST(json_group_object(path, value) AS VARCHAR) AS extras FROM "
        f"(SELECT rid, path, {value} AS value FROM kept GROUP BY rid, path) GROUP BY rid"
    )
    if not has_leftovers:
        made: pa.Table = connection.execute(raws).to_arrow_table()
        return made
    merged = (
        "CASE WHEN l.extras IS NULL OR k.extras IS NULL THEN coalesce(l.extras, k.extras) "
        "ELSE json_merge_patch(l.extras, k.extras) END"
    )
    return connection.execute(
        f"SELECT rid, {merged} AS extras FROM leftovers l FULL JOIN ({raws}) k USING (rid)"
    ).to_arrow_table()


def leftover_counts(connection: Any, leftovers: Iterable[Any], write: Any) -> dict[str, int]:
    """Return path → how often; of a partly read list, how many records hold more than what is read."""
    found = {}
    for item in leftovers:
        path = write(item.path)
        if item.selectors:
            pointer = "/" + path.replace("~", "~0").replace("/", "~1")
            sql = f"SELECT count(*) FROM leftovers WHERE json_exists(extras, {quote(pointer)})"
            found[path] = connection.execute(sql).fetchone()[0]
        else:
            found[path] = item.count
    return {path: number for path, number in found.items() if number}


def note_problems(table: pa.Table, bad: Problems) -> None:
    """Add the failed records of one emit to ``bad``: the first problem, and how many more there are."""
    failed = table.filter(pc.is_valid(table.column("problems")))
    for rid, problems in zip(failed.column("rid").to_pylist(), failed.column("problems").to_pylist(), strict=True):
        if rid not in bad:
            reason, _, path = problems[0][1:].partition(SEPARATOR)
            bad[rid] = (reason, path)


def quarantined(records: pa.Table, bad: Mapping[int, tuple[str, str]]) -> pa.Table:
    """Return the quarantine rows of failed records, in the batch's order."""
    rids = sorted(bad)
    taken = records.select(["source_key", "ordinal"]).take(pa.array(rids, pa.int64()))
    columns = [
        *taken.columns,
        pa.array([bad[rid][0] for rid in rids], pa.string()),
        pa.array([bad[rid][1] for rid in rids], pa.string()),
    ]
    return pa.table(columns, schema=QUARANTINE)


def combined(parts: list[MappedBatch], vocabulary: Vocabulary) -> MappedBatch:
    """Return several parts of one batch as one."""
    entities = list(dict.fromkeys(entity for part in parts for entity in part.rows))
    empty = {entity: row_schema(vocabulary.entities[entity]).empty_table() for entity in entities}
    counts: dict[str, Any] = {name: _added(parts, name) for name in ("warnings", "unmapped", "ignored")}
    unused = reduce(lambda a, b: a & b, (set(part.unused) for part in parts))
    return type(parts[0])(
        read=sum(part.read for part in parts),
        mapped=sum(part.mapped for part in parts),
        rows=MappingProxyType(
            {entity: pa.concat_tables([part.rows.get(entity, empty[entity]) for part in parts]) for entity in entities}
        ),
        quarantine=pa.concat_tables([part.quarantine for part in parts]),
        deleted=tuple(key for part in parts for key in part.deleted),
        unused=tuple(sorted(unused)),
        **counts,
    )


def _added(parts: list[MappedBatch], name: str) -> dict[Any, int]:
    total: Counter[Any] = Counter()
    for part in parts:
        total.update(getattr(part, name))
    return dict(total)
