"""One write transaction: everything in it is committed together, under one ``change_seq`` and one fence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Executable, Table, func, insert, select

from pipelines.store import arrow_out, partitions
from pipelines.store.bulk import Bulk, Counts, Stage
from pipelines.store.intern import intern_refs
from pipelines.store.tables import commit_log, counter, metadata, picked, stage_watermark
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import CursorResult

    from pipelines.store.sqlite_staged import RowFile

_FEW_ROWS = 200
_CHANGE = ("tenant_id", "change_seq", "known_from", "actor", "cause")


class WriteTransaction:
    """The only way to change the store; rows get tenant_id, change_seq, known_from, actor and cause from it."""

    def __init__(
        self,
        connection: Connection,
        *,
        tenant_id: int,
        actor: str,
        cause: str,
        now: Callable[[], datetime],
        fence: int = 0,
    ) -> None:
        self.connection = connection
        self.tenant_id, self.actor, self.cause, self.now, self.fence = tenant_id, actor, cause, now, fence
        self.dialect = connection.dialect.name
        self.bulk = Bulk(connection)
        self.change_seq = self.allocate("change_seq", 1)
        self.insert_row(commit_log, {"committed_at": now()})

    def allocate(self, name: str, n: int) -> int:
        """Return the first of ``n`` consecutive numbers of a counter, none of them given before."""
        statement = insert_on_conflict(
            self.dialect, counter, {"tenant_id": self.tenant_id, "name": name, "value": n},
            update=lambda row: {"value": counter.c.value + row.value},
        ).returning(counter.c.value)  # fmt: skip
        return int(self.connection.execute(statement).scalar_one()) - n + 1

    def execute(self, statement: Executable, params: Any = None) -> CursorResult[Any]:
        """Run one statement in this transaction; bookkeeping columns are the caller's."""
        return self.connection.execute(statement, params)

    def change(self, table: Table) -> dict[str, Any]:
        """Return the bookkeeping values of this transaction for the columns that the table has."""
        values = {
            "tenant_id": self.tenant_id, "change_seq": self.change_seq, "known_from": self.change_seq,
            "actor": self.actor, "cause": self.cause,
        }  # fmt: skip
        return {name: values[name] for name in _CHANGE if name in table.c}

    def insert_row(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert one row, bookkeeping filled in."""
        self.connection.execute(insert(table).values({**self.change(table), **values}))

    def put_row(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert one row, or replace the given columns of the row with the same key."""
        row = {**self.change(table), **values}
        key = {column.name for column in table.primary_key}
        kept = [name for name in row if name not in key]
        statement = insert_on_conflict(self.dialect, table, row, update=lambda new: {name: new[name] for name in kept})
        self.connection.execute(statement)

    def insert(self, table: Table, rows: pa.Table) -> int:
        """Insert rows whose keys are new; a known key raises StoreFailure."""
        full = self._full(table, rows)
        if rows.num_rows:
            self.bulk.insert(table, full)
        return len(rows)

    def upsert(self, table: Table, rows: pa.Table, *, key: Sequence[str] | None = None) -> Counts:
        """Insert new rows and replace changed ones; unchanged rows keep their ``change_seq``.

        ``key`` defaults to the table's primary key without ``tenant_id``. A superseded row is copied to
        ``<table>_version`` where that table exists. Two rows with one key raise ValueError.
        """
        names = tuple(key or _key_of(table))
        if rows.num_rows == 0:
            return Counts()
        full = self._full(table, rows)
        if self._all_new(table, full, names):
            return Counts(written=self.bulk.insert(table, full))
        _refuse_duplicates(table, full, names)
        with self._staged(full, table) as stage:
            return self.bulk.upsert(table, stage, names, self.change_seq)

    def replace(self, table: Table, rows: pa.Table) -> None:
        """Insert rows, or put each in the place of the one with its key, whose values are not looked at.

        For derived tables that keep no history, and rows that are known to differ; two rows with one key raise ValueError.
        """
        if rows.num_rows:
            full, key = self._full(table, rows), _key_of(table)
            _refuse_duplicates(table, full, key)
            self.bulk.replace(table, full, key)

    def delete(self, table: Table, keys: pa.Table) -> int:
        """Delete the rows with these keys (the columns of ``keys``); they stay in the version table if there is one."""
        if keys.num_rows == 0:
            return 0
        tenant = pa.array([self.tenant_id] * keys.num_rows, pa.int64())
        with self._staged(keys.append_column("tenant_id", tenant), table) as stage:
            return self.bulk.delete(table, stage, keys.column_names, self.change_seq)

    def replace_set(self, table: Table, parents: pa.Table, rows: pa.Table, file: RowFile | None = None) -> Counts:
        """Make ``rows`` all that the source records in ``parents`` say in this entity.

        ``file`` may hold the same rows (see ``Store.row_file``): it is used where none of the records said anything yet.

        ``parents`` has ``source_record_id`` and, if known, ``deleted_at``: the vendor's time for what is gone (else
        this transaction's clock). Rows no longer emitted stay with ``deleted_at`` and are found by ``change_seq``.
        """
        known = self.bulk.with_rows(table, parents.column("source_record_id"), self.tenant_id)
        if not len(known) and file is not None and self.bulk.insert_file(table, file, self.change(table)):
            return Counts(written=file.rows)
        full = self._full(table, rows)
        if len(known) == 0:
            return Counts(written=self.bulk.insert(table, full)) if rows.num_rows else Counts()
        is_known = pc.is_in(full.column("source_record_id"), value_set=known)
        fresh = full.filter(pc.invert(is_known))
        added = self.bulk.insert(table, fresh) if fresh.num_rows else 0
        gone = self._gone(parents.filter(pc.is_in(parents.column("source_record_id"), value_set=known)))
        return self._exchange(table, gone, full.filter(is_known)) + Counts(written=added)

    def _exchange(self, table: Table, gone: pa.Table, rows: pa.Table) -> Counts:
        """Replace the rows that these source records have in the table."""
        key = tuple(_key_of(table))
        _refuse_duplicates(table, rows, key)
        with self._staged(rows, table) as stage, self._staged(gone, table) as owners:
            change = {name: value for name, value in self.change(table).items() if name != "tenant_id"}
            retired = self.bulk.retire(table, owners, stage, key, change)
            return self.bulk.upsert(table, stage, key, self.change_seq) + Counts(retired=retired)

    def with_rows(self, table: Table, ids: pa.ChunkedArray) -> pa.Array:
        """Return those of these source records that have rows in an entity's table."""
        return self.bulk.with_rows(table, ids, self.tenant_id)

    def intern(self, refs: pa.Table) -> pa.Table:
        """Return ``refs`` with ``source_record_id``; unknown references get one, a stub becomes real under the same id.

        Columns: connection_id, object, source_key, entity, is_stub. The same reference gives the same id for ever.
        """
        return intern_refs(self, self.bulk, refs)

    @contextmanager
    def picking(self, ids: pa.Array | pa.ChunkedArray) -> Iterator[Table]:
        """Offer ids to statements of this transaction as the table ``tables.picked`` (column ``id``)."""
        self.bulk.pick(ids)
        try:
            yield picked
        finally:
            self.bulk.unpick()

    def read_arrow(self, statement: arrow_out.Query) -> pa.Table:
        """Return rows as this transaction sees them, its own changes included."""
        if self.dialect == "postgresql":
            return arrow_out.read_postgresql(self.connection, statement)
        rows = arrow_out.read_sqlite(self.connection, statement)
        assert rows is not None
        return rows

    def set_watermark(self, stage: str, unit: str, watermark: int) -> None:
        """Say that ``stage`` has consumed everything of ``unit`` up to that ``change_seq``."""
        self.put_row(stage_watermark, {"stage": stage, "unit": unit, "watermark": watermark})

    def count(self, table: Table) -> int:
        """Return the number of rows of this tenant."""
        statement = select(func.count()).select_from(table).where(table.c.tenant_id == self.tenant_id)
        return int(self.connection.execute(statement).scalar_one())

    @contextmanager
    def _staged(self, rows: pa.Table, like: Table) -> Iterator[Stage]:
        stage = self.bulk.stage(rows, like)
        yield stage
        self.bulk.drop(stage)

    def _full(self, table: Table, rows: pa.Table) -> pa.Table:
        if "occurred_at" in table.primary_key.columns and rows.num_rows:
            partitions.make_years(self.connection, table, rows.column("occurred_at"))
        constants = {n: v for n, v in self.change(table).items() if n not in rows.column_names}
        if "row_key" in table.c and "deleted_at" not in rows.column_names:
            constants["deleted_at"] = None
        for name, value in constants.items():
            rows = rows.append_column(name, _repeated(value, rows.num_rows))
        return rows

    def _gone(self, parents: pa.Table) -> pa.Table:
        now = pa.scalar(self.now(), pa.timestamp("us", tz="UTC"))
        ids = parents.column("source_record_id")
        given = parents.column("deleted_at") if "deleted_at" in parents.column_names else None
        times = _repeated(now, len(ids)) if given is None else pc.fill_null(given.cast(now.type), now)
        names = ["tenant_id", "source_record_id", "deleted_at"]
        return pa.table([_repeated(self.tenant_id, len(ids)), ids, times], names=names)

    def _all_new(self, table: Table, rows: pa.Table, key: Sequence[str]) -> bool:
        column = key[0]
        numbers = pa.types.is_integer(rows.schema.field(column).type)
        if numbers and next(iter(table.primary_key.columns.keys()[1:])) == column:
            return self.bulk.is_past_end(table, column, rows.column(column), self.tenant_id)
        return self.bulk.is_empty(table, self.tenant_id)


def _key_of(table: Table) -> list[str]:
    return [column.name for column in table.primary_key if column.name != "tenant_id"]


def _refuse_duplicates(table: Table, rows: pa.Table, key: Sequence[str]) -> None:
    keys = rows.select(list(key))
    if rows.num_rows <= _FEW_ROWS:  # threads would be begun for them
        distinct = len(set(zip(*(column.to_pylist() for column in keys.columns), strict=True)))
    else:
        distinct = keys.group_by(list(key)).aggregate([]).num_rows
    if distinct != rows.num_rows:
        message = f"{rows.num_rows - distinct} rows for {table.name} repeat a key ({', '.join(key)}) in one batch"
        raise ValueError(message)


def _repeated(value: Any, n: int) -> pa.Array:
    return pa.repeat(value if isinstance(value, pa.Scalar) else pa.scalar(value), n)


__all__ = ["Counts", "WriteTransaction", "metadata"]
