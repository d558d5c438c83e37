"""Bulk changes on the session's own connection: stage rows in a TEMP table, then change the target by set-based SQL.

The statements are the same on both stores; only the way rows enter the TEMP table differs (executemany, COPY).
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from sqlalchemy import Connection, Table, text

from pipelines.store import sqlite_staged
from pipelines.store.arrow_in import stored_columns
from pipelines.store.sqlite_rows import insert_rows, unless_known
from pipelines.store.sqlite_staged import Attached, RowFile

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

_WORTH_A_STAGE = 1_000
_MANY_RUNS = 50  # beyond so many, one statement over a TEMP table costs less than a probe each


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
        self._files = Attached(connection.connection.driver_connection)
        self._same = "IS NOT DISTINCT FROM" if self._dialect == "postgresql" else "IS"

    def run(self, sql: str, **values: Any) -> int:
        """Run one statement and return how many rows it changed."""
        changed: int = self._connection.execute(text(sql), values).rowcount
        return changed

    def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement as plain tuples: of many rows, a Row object each would cost most."""
        cursor = self._connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        try:
            cursor.execute(sql, *([values] if values else []))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        finally:
            cursor.close()
        return found

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
        """Fill the TEMP table ``picked`` with these ids; nobody's may be in it, or both would be looked up."""
        if self._dialect == "postgresql":
            self.run("CREATE TEMP TABLE picked (id BIGINT NOT NULL)")
        elif self._connection.exec_driver_sql("SELECT 1 FROM picked LIMIT 1").first() is not None:
            message = "ids are picked already in this transaction"
            raise RuntimeError(message)
        self._fill("picked", pa.table({"id": ids}))

    def unpick(self) -> None:
        """Forget the ids; the end of a read does that too."""
        self.run("DROP TABLE picked" if self._dialect == "postgresql" else "DELETE FROM picked")

    def count(self, name: str) -> int:
        """Return the number of rows of a TEMP table."""
        return int(self._connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())

    def is_empty(self, table: Table, tenant_id: int) -> bool:
        """Return whether the tenant has no row in the table."""
        sql = f'SELECT 1 FROM "{table.name}" WHERE tenant_id = {tenant_id:d} LIMIT 1'
        return self._connection.exec_driver_sql(sql).first() is None

    def insert(self, table: Table, rows: pa.Table) -> int:
        """Insert rows that are new.

        Many go through a file or a TEMP table on SQLite: a statement for each row would open the table's indexes for each
        row.
        """
        if self._dialect != "sqlite" or len(rows) < _WORTH_A_STAGE:
            self._fill(f'"{table.name}"', stored_columns(rows, table, dialect=self._dialect))
            return len(rows)
        if len(rows) >= sqlite_staged.WORTH_A_FILE and self._insert_by_file(table, rows):
            return len(rows)
        stage = self.stage(rows, table)
        names = ", ".join(f'"{name}"' for name in stage.columns)
        self.run(f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM {stage.name}')
        self.drop(stage)
        return len(rows)

    def _insert_by_file(self, table: Table, rows: pa.Table) -> bool:
        """Insert rows by way of a file of their own, if there is room for one; tell whether there was."""
        file = self._files.make(stored_columns(rows, table, dialect=self._dialect))
        return file is not None and self.insert_file(table, file, {})

    def replace(self, table: Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Insert rows, or put each in the place of the one with its key: nothing is compared, and none may come twice."""
        others = ", ".join(f'"{c}" = excluded."{c}"' for c in rows.column_names if c not in ("tenant_id", *key))
        clause = f" WHERE true ON CONFLICT ({', '.join(('tenant_id', *key))}) DO UPDATE SET {others}"
        stored = stored_columns(rows, table, dialect=self._dialect)
        if self._dialect == "sqlite" and len(rows) >= sqlite_staged.WORTH_A_FILE:
            file = self._files.make(stored)
            if file is not None and self.insert_file(table, file, {}, clause):
                return
        names = ", ".join(f'"{c}"' for c in stored.column_names)
        if self._dialect == "sqlite":
            places = ", ".join("?" * stored.num_columns)
            sql = f'INSERT INTO "{table.name}" ({names}) VALUES ({places}){clause.removeprefix(" WHERE true")}'
            driver = self._connection.connection.driver_connection
            driver.executemany(sql, zip(*(c.to_pylist() for c in stored.columns), strict=True))  # type: ignore[union-attr]
            return
        stage = self.stage(rows, table)
        self.run(f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM {stage.name}{clause}')
        self.drop(stage)

    def insert_file(self, table: Table, file: RowFile, constants: dict[str, Any], clause: str = "") -> bool:
        """Insert a file's rows with these values in further columns, if there is room; tell whether there was."""
        found = self._files.attach(file)
        if found is None:
            return False
        columns, source = found
        chosen = {**{name: f"?{number}" for number, name in enumerate(constants, 1)}, **columns}
        names = ", ".join(f'"{name}"' for name in chosen)
        # not by text(), to which a colon in a shared value would be a parameter
        self._connection.exec_driver_sql(
            f'INSERT INTO "{table.name}" ({names}) SELECT {", ".join(chosen.values())} FROM {source}{clause}',
            tuple(constants.values()),
        )
        return True

    def release(self) -> None:
        """Give back what the transaction needed, now that it has ended."""
        self._files.release()

    def insert_unless_known(self, table: Table, rows: pa.Table, key: Sequence[str]) -> int | None:
        """Insert rows by one statement without a stage, but for those whose ``key`` is there; return how many went in.

        None, and nothing is done, where store or rows do not allow that.
        """
        if self._dialect != "sqlite":
            return None
        stored = stored_columns(rows, table, dialect=self._dialect)
        whole = unless_known(f'"{table.name}"', stored, key)
        return None if whole is None else self._connection.exec_driver_sql(whole[0], tuple(whole[1])).rowcount

    def is_past_end(self, table: Table, column: str, values: pa.ChunkedArray, tenant_id: int) -> bool:
        """Return whether every value is above the highest in the table, so that all the rows are new."""
        highest = self._connection.exec_driver_sql(
            f'SELECT max("{column}") FROM "{table.name}" WHERE tenant_id = {tenant_id:d}'
        ).scalar()
        return highest is None or len(values) == 0 or pc.min(values).as_py() > highest

    def with_rows(self, table: Table, ids: pa.ChunkedArray, tenant_id: int) -> pa.Array:
        """Return those source records that have rows in the table; consecutive ids, as a first load has, cost one probe."""
        wanted = np.unique(ids.to_numpy())
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1) if len(wanted) else []
        same = f'FROM "{table.name}" AS t WHERE t.tenant_id = {tenant_id:d} AND t.source_record_id'
        found: list[int] = []
        if len(runs) <= _MANY_RUNS:
            for run in runs:
                sql = f"SELECT DISTINCT t.source_record_id {same} BETWEEN {run[0]:d} AND {run[-1]:d}"
                found += [row[0] for row in self.fetch(sql)]
        else:
            self.pick(pa.array(wanted))
            sql = f"SELECT p.id FROM picked AS p WHERE EXISTS (SELECT 1 {same} = p.id)"
            found = [row[0] for row in self.fetch(sql)]
            self.unpick()
        return pa.array(found, pa.int64())

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
            f'FROM {stage.name} AS s CROSS JOIN "{table.name}" AS t WHERE {match} AND t.known_from < {seq:d}{where}'
        )

    def delete(self, table: Table, stage: Stage, key: Sequence[str], seq: int) -> int:
        """Delete the rows whose key is staged; they stay in the version table where there is one."""
        match = self._match(key)
        self.keep_versions(table, stage, match, seq)
        if self._dialect == "postgresql":
            return self.run(f'DELETE FROM "{table.name}" AS t USING {stage.name} AS s WHERE {match}')
        return self.run(
            f'DELETE FROM "{table.name}" WHERE rowid IN '
            f'(SELECT t.rowid FROM {stage.name} AS s CROSS JOIN "{table.name}" AS t WHERE {match})'
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
            if len(stored):
                insert_rows(driver, target, stored)
            return
        names = ", ".join(f'"{c}"' for c in stored.column_names)
        with driver.cursor() as cursor, cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT csv)") as copy:  # type: ignore[union-attr]
            for block in _csv_blocks(stored):
                copy.write(block)


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
