"""Bulk changes on the session's own connection: stage rows in a TEMP table, then change the target by set-based SQL.

The statements are the same on both stores; only the way rows enter the TEMP table differs (executemany, COPY).
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from sqlalchemy import Connection, Table, text

from pipelines.store.arrow_in import python_rows, stored_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_MEANING = frozenset(
    {
        "tenant_id",
        "change_seq",
        "actor",
        "cause",
        "known_from",
        "known_to",
        "mapping_version",
        "payload_hash",
        "record_time",
        "term_times",
    }
)


@dataclass(frozen=True)
class Counts:
    """What a bulk change did: rows written (new or changed), left as they were, and retired (marked deleted)."""

    written: int = 0
    unchanged: int = 0
    retired: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.written + other.written, self.unchanged + other.unchanged, self.retired + other.retired)


@dataclass(frozen=True)
class Stage:
    """Rows of this transaction in a TEMP table, with columns named and typed like those of ``target``."""

    name: str
    columns: tuple[str, ...]


class Bulk:
    """Set-based changes inside one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._numbers = itertools.count(1)
        self._same = "IS NOT DISTINCT FROM" if self._dialect == "postgresql" else "IS"

    def run(self, sql: str, **values: Any) -> int:
        """Run one statement and return how many rows it changed."""
        changed: int = self._connection.execute(text(sql), values).rowcount
        return changed

    def stage(self, rows: pa.Table, like: Table, renamed: dict[str, str] | None = None) -> Stage:
        """Copy rows into a new TEMP table; ``renamed`` gives a stage column the type of another column of ``like``."""
        renamed = renamed or {}
        name = f"stage_{next(self._numbers)}"
        source = ", ".join(f'"{renamed.get(c, c)}" AS "{c}"' for c in rows.column_names)
        commit = "ON COMMIT DROP " if self._dialect == "postgresql" else ""
        self.run(f'CREATE TEMP TABLE {name} {commit}AS SELECT {source} FROM "{like.name}" WHERE 1 = 0')
        inner = rows.rename_columns([renamed.get(c, c) for c in rows.column_names])
        stored = stored_columns(inner, like, dialect=self._dialect).rename_columns(rows.column_names)
        self._fill(name, stored)
        if self._dialect == "postgresql":
            self.run(f"ANALYZE {name}")
        return Stage(name, tuple(rows.column_names))

    def drop(self, stage: Stage) -> None:
        """Drop a stage; a rolled-back transaction leaves none behind either."""
        self.run(f"DROP TABLE {stage.name}")

    def pick(self, ids: pa.Array | pa.ChunkedArray) -> None:
        """Make the TEMP table ``picked`` with these ids."""
        self.run("CREATE TEMP TABLE picked (id BIGINT NOT NULL)")
        self._fill("picked", pa.table({"id": ids}))

    def unpick(self) -> None:
        """Drop the TEMP table ``picked``."""
        self.run("DROP TABLE picked")

    def count(self, name: str) -> int:
        """Return the number of rows of a TEMP table."""
        return int(self._connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())

    def is_empty(self, table: Table, tenant_id: int) -> bool:
        """Return whether the tenant has no row in the table."""
        sql = f'SELECT 1 FROM "{table.name}" WHERE tenant_id = {tenant_id:d} LIMIT 1'
        return self._connection.exec_driver_sql(sql).first() is None

    def insert(self, table: Table, rows: pa.Table) -> int:
        """Insert rows that are new."""
        self._fill(f'"{table.name}"', stored_columns(rows, table, dialect=self._dialect))
        return len(rows)

    def is_past_end(self, table: Table, column: str, values: pa.ChunkedArray, tenant_id: int) -> bool:
        """Return whether every value is above the highest in the table, so that all the rows are new."""
        highest = self._connection.exec_driver_sql(
            f'SELECT max("{column}") FROM "{table.name}" WHERE tenant_id = {tenant_id:d}'
        ).scalar()
        return highest is None or len(values) == 0 or pc.min(values).as_py() > highest

    def upsert(self, table: Table, stage: Stage, key: Sequence[str], seq: int) -> Counts:
        """Bring staged rows into the table; superseded rows go to its version table where it has one."""
        match = self._match(key)
        unchanged = self.run(
            f'DELETE FROM {stage.name} AS s WHERE EXISTS (SELECT 1 FROM "{table.name}" AS t '
            f"WHERE {match} AND ({self._unchanged(stage, key)}))"
        )
        self.keep_versions(table, stage, match, seq)
        changes = ", ".join(f'"{c}" = s."{c}"' for c in stage.columns if c not in (*key, "tenant_id"))
        changed = self.run(f'UPDATE "{table.name}" AS t SET {changes} FROM {stage.name} AS s WHERE {match}')
        names = ", ".join(f'"{c}"' for c in stage.columns)
        added = self.run(
            f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM {stage.name} AS s '
            f'WHERE NOT EXISTS (SELECT 1 FROM "{table.name}" AS t WHERE {match})'
        )
        return Counts(written=changed + added, unchanged=unchanged)

    def keep_versions(self, table: Table, stage: Stage, match: str, seq: int, where: str = "") -> None:
        """Copy the rows about to be superseded into ``<table>_version``, known until this transaction."""
        version = table.metadata.tables.get(f"{table.name}_version")
        if version is None:
            return
        names = [c.name for c in version.columns if c.name != "known_to"]
        target = ", ".join(f'"{n}"' for n in names)
        source = ", ".join(f't."{n}"' for n in names)
        self.run(
            f'INSERT INTO "{version.name}" ({target}, known_to) SELECT {source}, {seq:d} '
            f'FROM {stage.name} AS s JOIN "{table.name}" AS t ON {match} WHERE t.known_from < {seq:d}{where}'
        )

    def delete(self, table: Table, stage: Stage, key: Sequence[str], seq: int) -> int:
        """Delete the rows whose key is staged; they stay in the version table where there is one."""
        match = self._match(key)
        self.keep_versions(table, stage, match, seq)
        if self._dialect == "postgresql":
            return self.run(f'DELETE FROM "{table.name}" AS t USING {stage.name} AS s WHERE {match}')
        return self.run(
            f'DELETE FROM "{table.name}" WHERE rowid IN '
            f'(SELECT t.rowid FROM {stage.name} AS s JOIN "{table.name}" AS t ON {match})'
        )

    def retire(self, table: Table, parents: Stage, rows: Stage, key: Sequence[str], change: dict[str, Any]) -> int:
        """Mark as deleted the live rows of ``parents`` whose key is not among ``rows``."""
        mine = 't.tenant_id = s.tenant_id AND t."source_record_id" = s."source_record_id"'
        kept = self._match(key, staged="k")
        gone = f" AND t.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM {rows.name} AS k WHERE {kept})"
        self.run(f"CREATE INDEX ix_{rows.name} ON {rows.name} (source_record_id)")
        self.keep_versions(table, parents, mine, change["change_seq"], gone)
        values = ", ".join(f'"{name}" = :{name}' for name in change)
        return self.run(
            f'UPDATE "{table.name}" AS t SET deleted_at = s.deleted_at, {values} FROM {parents.name} AS s '
            f"WHERE {mine}{gone}",
            **change,
        )

    def _match(self, key: Sequence[str], staged: str = "s") -> str:
        return " AND ".join(f't."{c}" = {staged}."{c}"' for c in ("tenant_id", *key))

    def _unchanged(self, stage: Stage, key: Sequence[str]) -> str:
        meaning = [c for c in stage.columns if c not in NOT_MEANING and c not in key]
        equal = " AND ".join(f't."{c}" {self._same} s."{c}"' for c in meaning) or "1 = 1"
        if "payload_hash" not in stage.columns:
            return equal
        alive = [c for c in ("mapping_version", "deleted_at") if c in stage.columns]
        same_hash = " AND ".join(f't."{c}" {self._same} s."{c}"' for c in ("payload_hash", *alive))
        known = "t.payload_hash IS NOT NULL" + ("" if "deleted_at" in alive else " AND t.deleted_at IS NULL")
        return f"({known} AND {same_hash}) OR ({equal})"

    def _fill(self, target: str, stored: pa.Table) -> None:
        driver = self._connection.connection.driver_connection
        if self._dialect == "sqlite":
            names, values, varying = _literals(stored)
            driver.executemany(f"INSERT INTO {target} ({names}) VALUES ({values})", python_rows(varying))  # type: ignore[union-attr]
            return
        names = ", ".join(f'"{c}"' for c in stored.column_names)
        with driver.cursor() as cursor, cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT csv)") as copy:  # type: ignore[union-attr]
            for block in _csv_blocks(stored):
                copy.write(block)


def _literals(stored: pa.Table) -> tuple[str, str, pa.Table]:
    """Return names, values and the columns to bind: what all rows share is written into the statement, NULL left out."""
    names, values, varying = [], [], []
    for name in stored.column_names:
        column = stored.column(name)
        if column.null_count == len(column) and len(column):
            continue
        shared = _shared_number(column)
        names.append(f'"{name}"')
        values.append("?" if shared is None else str(shared))
        varying += [name] if shared is None else []
    if not varying:  # executemany needs something to count the rows by
        every = stored.column_names
        return ", ".join(f'"{name}"' for name in every), ", ".join("?" * len(every)), stored
    return ", ".join(names), ", ".join(values), stored.select(varying)


def _shared_number(column: pa.ChunkedArray) -> int | None:
    """Return the integer that every row has, if they all have the same one."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return None
    ends = pc.min_max(column)
    return int(ends["min"].as_py()) if ends["min"].equals(ends["max"]) else None


def _csv_blocks(stored: pa.Table) -> Iterable[bytes]:
    """NULL is an empty field, an empty text is ``""``: what COPY … (FORMAT csv) reads."""
    columns = [_hexed(c) if pa.types.is_binary(c.type) else c for c in stored.columns]
    table = pa.table(columns, names=stored.column_names)
    options = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")
    for batch in table.to_batches(max_chunksize=50_000):
        block = io.BytesIO()
        pa_csv.write_csv(batch, block, options)
        yield block.getvalue()


def _hexed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([[None if v is None else "\\x" + v.hex() for v in values.to_pylist()]], type=pa.string())
