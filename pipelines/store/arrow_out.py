"""From the store to Arrow tables of logical types: in this process when small, else by the dialect's fastest way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import BigInteger, Boolean, CompoundSelect, Connection, Float, Integer, LargeBinary, Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import NullType, TypeEngine

from connectors.sdk.errors import StoreFailure
from pipelines.store.arrow_in import AMOUNT, logical_type, rescaled
from pipelines.store.types import SCALE, Amount, Instant, TextList

if TYPE_CHECKING:
    from collections.abc import Mapping

BIG_RESULT = 100_000
_CHUNK = 20_000
_CHILD = Path(__file__).with_name("_adbc_child.py")
Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


def columns_of(statement: Query) -> dict[str, TypeEngine[Any]]:
    """Return the name and the type of each column of a statement's result."""
    return {str(column.key): column.type for column in statement.selected_columns}


def sql_text(statement: Query, connection: Connection) -> str:
    """Return the statement as SQL with its values written in, as the connection's dialect writes them."""
    dialect = connection.dialect
    if dialect.name == "postgresql":
        dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def read_sqlite(
    connection: Connection, statement: Query, params: Mapping[str, Any] | None = None, *, limit: int | None = None
) -> pa.Table | None:
    """Return the rows read by this process, or ``None`` as soon as there are more than ``limit``.

    With ``params`` the statement is bound, and compiled the first time only; else its values are written into it, however
    many they are.
    """
    kinds = columns_of(statement)
    if params is None:
        cursor = _driver(connection).execute(sql_text(statement, connection))
    else:
        cursor = connection.execute(statement, params).cursor
    chunks: list[pa.Table] = []
    while rows := cursor.fetchmany(_CHUNK):
        if limit is not None and len(chunks) * _CHUNK >= limit:
            return None
        chunks.append(_stored_table(rows, kinds))
    return typed(pa.concat_tables(chunks) if chunks else _stored_table([], kinds), kinds)


def read_sqlite_child(database: Path, connection: Connection, statement: Query) -> pa.Table:
    """Return the rows read by a child process that opens nothing but the store; memory-mapped."""
    kinds = columns_of(statement)
    with tempfile.TemporaryDirectory(prefix="unisono-read-") as folder:
        target = Path(folder) / "rows.arrow"
        _run_child(database, target, _with_types_first(sql_text(statement, connection), statement, kinds))
        rows = pa.ipc.open_file(pa.memory_map(str(target))).read_all()
    return typed(rows.slice(1).rename_columns(list(kinds)), kinds)


def read_postgresql(connection: Connection, statement: Query) -> pa.Table:
    """Return the rows through COPY."""
    kinds = columns_of(statement)
    buffer = io.BytesIO()
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f"COPY ({sql_text(statement, connection)}) TO STDOUT (FORMAT csv)") as copy,
    ):
        for block in copy:
            buffer.write(block)
    types = {name: _csv_type(kind) for name, kind in kinds.items()}
    if buffer.tell() == 0:
        rows = pa.table({name: pa.array([], kind) for name, kind in types.items()})
    else:
        rows = _parse_csv(buffer, types)
    return typed(rows, kinds)


def typed(rows: pa.Table, kinds: dict[str, TypeEngine[Any]]) -> pa.Table:
    """Return stored columns as logical types."""
    columns = [_logical(rows.column(place), kind) for place, kind in enumerate(kinds.values())]
    return pa.table(columns, names=list(kinds))


def _logical(values: pa.ChunkedArray, kind: TypeEngine[Any]) -> pa.ChunkedArray:
    if isinstance(kind, NullType):
        return values
    if isinstance(kind, TextList):
        return _lists(values)
    if isinstance(kind, Amount) and not pa.types.is_decimal(values.type):
        return rescaled(values.cast(pa.int64()).cast(pa.decimal128(38, 0)), SCALE)
    if isinstance(kind, LargeBinary) and pa.types.is_string(values.type):
        return _unhexed(values)
    return values.cast(logical_type(kind))


def _lists(values: pa.ChunkedArray) -> pa.ChunkedArray:
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    lists = pa.array([json.loads(text) for text in coded.dictionary.to_pylist()], pa.list_(pa.string()))
    return pa.chunked_array([lists.take(coded.indices)], type=pa.list_(pa.string()))


def _unhexed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array(
        [[None if v is None else bytes.fromhex(v[2:]) for v in values.to_pylist()]], type=pa.binary()
    )


def _stored_table(rows: list[Any], kinds: dict[str, TypeEngine[Any]]) -> pa.Table:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in kinds]
    arrays = [pa.array(values, _sqlite_type(kind)) for values, kind in zip(columns, kinds.values(), strict=True)]
    return pa.table(arrays, names=list(kinds))


def _sqlite_type(kind: TypeEngine[Any]) -> pa.DataType | None:
    if isinstance(kind, NullType):
        return None
    if isinstance(kind, (Amount, BigInteger, Integer, Boolean)):
        return pa.int64()
    return {LargeBinary: pa.binary(), Float: pa.float64()}.get(type(kind), pa.string())


def _with_types_first(sql: str, statement: Query, kinds: dict[str, TypeEngine[Any]]) -> str:
    """ADBC takes each column's type from the first rows, so a typed row goes first; LIMIT keeps an inner ORDER BY."""
    examples = {pa.int64(): "0", pa.binary(): "x''", pa.float64(): "0.0"}
    first = ", ".join(examples.get(_sqlite_type(kind), "''") for kind in kinds.values())
    ordered = statement._order_by_clauses and statement._limit_clause is None  # noqa: SLF001
    return f"SELECT {first} UNION ALL SELECT * FROM ({sql}{' LIMIT -1' if ordered else ''})"


def _run_child(database: Path, target: Path, statement: str) -> None:
    command = [sys.executable, "-I", str(_CHILD), quote(str(database.resolve())), str(target)]
    done = subprocess.run(command, input=statement, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StoreFailure(
            "a bulk read failed", where=str(database), why=(done.stderr.strip().splitlines() or ["no message"])[-1],
            do="run again; if it stays, check free space in the temporary folder and run `unisono doctor`",
        )  # fmt: skip


def _csv_type(kind: TypeEngine[Any]) -> pa.DataType:
    if isinstance(kind, Amount):
        return AMOUNT
    if isinstance(kind, (Instant, Boolean, BigInteger, Integer, Float)):
        return logical_type(kind)
    return pa.string()


def _parse_csv(buffer: io.BytesIO, types: dict[str, pa.DataType]) -> pa.Table:
    size = min(max(buffer.tell(), 1 << 16), 1 << 28)
    buffer.seek(0)
    return pa_csv.read_csv(
        buffer,
        pa_csv.ReadOptions(column_names=list(types), block_size=size),
        pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
            true_values=["t"], false_values=["f"],
        ),
    )  # fmt: skip


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
