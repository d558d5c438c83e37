"""Rows into a SQLite table: by one statement where their columns allow it, else by ``executemany``.

That binds as few and as cheap values as the rows allow.

Binding is what inserting costs: an integer 55 ns, a text 110 ns, NULL and a boolean 300 ns each, because sqlite3 looks for
an adapter first; the engine itself writes a row of thirty columns with its indexes in less than two microseconds. So NULL
never is bound: a stand-in is, which the statement turns back; booleans go as 0 and 1; what all rows of a block share is
written into the statement. A table's blocks are its chunks: rows made alike, as by one ``emit`` of a mapping, share most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.sqlite_packed import packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SMALL_BLOCK: Final = 200
# A stand-in has another type than any value of its column, so that nothing that was given can be taken for it.
_NO_TEXT: Final[tuple[Any, str]] = (0, "nullif({bound}, 0)")
_NO_NUMBER: Final[tuple[Any, str]] = ("", "nullif({bound}, '')")


class _Bound(NamedTuple):
    """A column that differs from row to row; its parameter has the number of its place, from 1."""

    column: pa.Array
    values: list[Any]


def insert_rows(driver: Any, target: str, stored: pa.Table) -> None:
    """Insert rows into a table, given as the quoted name, on the driver's open transaction."""
    for block in _blocks(stored):
        differing, columns = parted(block)
        whole = packed(differing, columns, target)
        if whole is not None:
            driver.execute(*whole)
            continue
        bound: list[_Bound] = []
        columns |= {name: _sql(values, bound) for name, values in differing.items()}
        if not columns:  # one NULL is named, so that the statement is one
            columns = {block.schema.names[0]: "NULL"}
        names = ", ".join(f'"{name}"' for name in columns)
        sql = f"INSERT INTO {target} ({names}) VALUES ({', '.join(columns.values())})"
        driver.executemany(sql, _rows(bound, block.num_rows))


def unless_known(target: str, stored: pa.Table, key: Sequence[str]) -> tuple[str, list[Any]] | None:
    """Return the one statement that inserts the rows whose ``key`` is not there yet, and what it binds.

    None where the rows do not allow it to be one.
    """
    blocks = stored.combine_chunks().to_batches()
    clause = f" WHERE 1 ON CONFLICT ({', '.join(key)}) DO NOTHING"
    return packed(*parted(blocks[0]), target, clause) if len(blocks) == 1 else None


def parted(block: pa.RecordBatch) -> tuple[dict[str, pa.Array], dict[str, str]]:
    """Return the columns whose rows differ, and as SQL what the others hold in every row; of NULL alone nothing."""
    held = {name: _plain(block.column(name)) for name in block.schema.names if _holds(block.column(name))}
    shared = {name: sql for name, values in held.items() if (sql := _shared(values)) is not None}
    return {name: values for name, values in held.items() if name not in shared}, shared


def _blocks(stored: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield the table's chunks, or the whole where they are too small to be worth a statement each."""
    blocks = stored.to_batches()
    if len(blocks) > 1 and stored.num_rows < _SMALL_BLOCK * len(blocks):
        blocks = stored.combine_chunks().to_batches()
    yield from blocks


def _holds(values: pa.Array) -> bool:
    return bool(values.null_count < len(values))


def _rows(bound: list[_Bound], count: int) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.values for column in bound), strict=True) if bound else [()] * count


def _sql(values: pa.Array, bound: list[_Bound]) -> str:
    """Return a column's SQL; what has to be bound for it is put at the end of ``bound``."""
    twin = _twin(values, bound)
    if twin is not None:
        return f"?{twin}"
    listed = values.to_pylist()
    parameter = f"?{len(bound) + 1}"
    if values.null_count:
        stand_in, sql = _NO_TEXT if pa.types.is_string(values.type) else _NO_NUMBER
        listed = [stand_in if value is None else value for value in listed]
        parameter = sql.format(bound=parameter)
    bound.append(_Bound(values, listed))
    return parameter


def _twin(values: pa.Array, bound: list[_Bound]) -> int | None:
    """Return the number of the parameter that has the same integers: a party is mostly the record itself."""
    if values.null_count or values.type != pa.int64():
        return None
    return next((number for number, other in enumerate(bound, 1) if other.column.equals(values)), None)


def _plain(values: pa.Array) -> pa.Array:
    """Return booleans as 0 and 1, anything else as it is."""
    return values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values


def _shared(values: pa.Array) -> str | None:
    """Return as SQL the integer or text that every row has, if they all have the same one."""
    if not (pa.types.is_integer(values.type) or pa.types.is_string(values.type)):
        return None
    if values.null_count or not values[0].equals(values[-1]) or not pc.all(pc.equal(values, values[0])).as_py():
        return None
    text = str(values[0].as_py())
    return text if pa.types.is_integer(values.type) else "'" + text.replace("'", "''") + "'"
