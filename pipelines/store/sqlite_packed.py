"""Rows into a SQLite table by one statement whatever their number, so that other threads run while it works.

``executemany`` lets go of Python's lock and takes it again for every row: beside a busy thread a row of it costs six
microseconds instead of one. Here columns are bound whole. One column is a JSON list, which gives the rows their numbers;
consecutive integers are computed from these, texts of one width are cut out of one value. Rows that do not come as such
columns are not for this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENOUGH: Final = 500
_NUMBER: Final = "l.key"


def packed(
    columns: Mapping[str, pa.Array], constants: Mapping[str, str], target: str, clause: str = ""
) -> tuple[str, list[Any]] | None:
    """Return the one statement that inserts these columns, and what it binds; ``None`` if they do not allow it.

    ``constants`` are SQL texts of what is the same in all rows; ``clause`` may say what becomes of rows in conflict.
    """
    if not columns or len(next(iter(columns.values()))) < _ENOUGH or any(one.null_count for one in columns.values()):
        return None
    bound: list[Any] = []
    sql: dict[str, str] = {}
    rest = ""
    for name, values in columns.items():
        found = _by_place(values, bound)
        if found is not None:
            sql[name] = found
        elif rest:
            return None
        else:
            rest = name
    listed = rest or next(iter(columns))
    if not _can_be_listed(columns[listed]):
        return None
    sql[listed] = "l.value"
    chosen = {**constants, **sql}
    names = ", ".join(f'"{name}"' for name in chosen)
    bound.append(msgspec.json.encode(columns[listed].to_pylist()).decode())
    values = ", ".join(str(one) for one in chosen.values())
    return f"INSERT INTO {target} ({names}) SELECT {values} FROM json_each(?{len(bound)}) AS l{clause}", bound


def _by_place(values: pa.Array, bound: list[Any]) -> str | None:
    """Return SQL that gives a column's value from the number of its row."""
    if values.type == pa.int64():
        first, last = values[0].as_py(), values[-1].as_py()
        steady = last - first == len(values) - 1 and (np.diff(values.to_numpy()) == 1).all()
        return f"{first:d} + {_NUMBER}" if steady else None
    if not pa.types.is_string(values.type):
        return None
    ends = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    size, start = int(ends[1] - ends[0]), int(ends[0])
    if not size or ends[-1] - start != size * len(values) or not (np.diff(ends) == size).all():
        return None
    bound.append(memoryview(values.buffers()[2])[start : start + len(values) * size])
    return f"CAST(substr(?{len(bound)}, {_NUMBER} * {size:d} + 1, {size:d}) AS TEXT)"


def _can_be_listed(values: pa.Array) -> bool:
    return bool(pa.types.is_string(values.type) or values.type == pa.int64())
