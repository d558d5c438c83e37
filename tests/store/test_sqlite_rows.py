"""What is written with few bound values is what was given: NULL stays NULL, and nothing else becomes it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipelines.store.sqlite_rows import insert_rows

if TYPE_CHECKING:
    from collections.abc import Iterable


def written(rows: pa.Table) -> list[tuple[Any, ...]]:
    driver = sqlite3.connect(":memory:")
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    driver.execute(f"CREATE TABLE target ({names})")
    insert_rows(driver, "target", rows)
    return driver.execute(f"SELECT {names} FROM target ORDER BY rowid").fetchall()


class Driver:
    """Keeps what it is given to bind."""

    def __init__(self) -> None:
        self.bound: list[list[tuple[Any, ...]]] = []

    def execute(self, _sql: str, _bound: list[Any]) -> None:
        """Take a statement that needs no row bound."""

    def executemany(self, _sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self.bound.append(list(rows))


TEXTS = [None, "", "0", "?1", "nullif", "it's", "é", "\t"]
NUMBERS = [None, 0, -1, 2**63 - 1, -(2**63), 7, 7, None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.string()),
        pa.array(NUMBERS, pa.int64()),
        pa.array([None, 0.0, 1.5, -1e300], pa.float64()),
        pa.array([None, b"", b"0", b"\x00"], pa.binary()),
        pa.array(["it's ?1 {bound}"] * 3),
        pa.array([-(2**63)] * 3, pa.int64()),
        pa.array([None, None], pa.string()),
        pa.array(["a", None, "a"]),
    ],
)
def test_every_value_comes_back_as_it_was(column: pa.Array):
    rows = pa.table({"n": pa.array(range(len(column)), pa.int64()), "value": column})

    assert written(rows) == list(zip(range(len(column)), column.to_pylist(), strict=True))


def test_booleans_are_numbers_and_unknown_stays_unknown():
    assert written(pa.table({"n": [1, 2, 3], "flag": [True, None, False]})) == [(1, 1), (2, None), (3, 0)]


def test_only_what_differs_is_bound_and_never_null():
    rows = pa.table(
        {
            "id": [1, 2, 3],
            "party": [1, 2, 3],
            "kind": ["email"] * 3,
            "use": pa.nulls(3, pa.string()),
            "rank": [1, None, 2],
        }
    )
    driver = Driver()

    insert_rows(driver, "target", rows)

    assert driver.bound == [[(1, 1), (2, ""), (3, 2)]]
    assert written(rows) == [(1, 1, "email", None, 1), (2, 2, "email", None, None), (3, 3, "email", None, 2)]


def test_rows_of_several_blocks_keep_their_own_values():
    alike = [
        pa.table({"id": list(range(at, at + 300)), "kind": [kind] * 300})
        for at, kind in ((0, "email"), (300, None), (600, "phone"))
    ]
    rows = pa.concat_tables([alike[0], alike[1].cast(alike[0].schema), alike[2]])

    assert written(rows) == list(zip(range(900), ["email"] * 300 + [None] * 300 + ["phone"] * 300, strict=True))


def test_rows_that_are_all_null_are_rows():
    assert written(pa.table({"a": pa.nulls(2, pa.string()), "b": pa.nulls(2, pa.int64())})) == [(None, None)] * 2


def test_no_rows_are_no_rows():
    assert written(pa.table({"a": pa.array([], pa.string())})) == []


MANY = 1_200
MIXED = pa.chunked_array([[("ab", "é", "0")[n % 3] + "x" * (n % 2) for n in range(MANY)]])
HASHES = [f"{n * 7919 % 10**9:09d}é" for n in range(MANY)]


@pytest.mark.parametrize(
    "columns",
    [
        {"key": [f"k{n}" for n in range(MANY)], "hash": HASHES, "n": list(range(5, MANY + 5))},
        {"key": ['"', "\\", "\n", "é", "😀", ""] * (MANY // 6), "hash": HASHES},
        {"n": [n * n - 2**62 for n in range(MANY)], "m": list(range(-3, MANY - 3))},
        {"hash": HASHES, "kind": ["email"] * MANY, "none": pa.nulls(MANY, pa.int64())},
    ],
    ids=["keys", "escapes", "numbers", "one width"],
)
def test_columns_that_are_bound_whole_come_back_as_they_were(columns: dict[str, Any]):
    rows = pa.table(columns)
    driver = Driver()

    assert written(rows) == list(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))
    insert_rows(driver, "target", rows)
    assert driver.bound == []  # not one row at a time


def test_texts_of_one_width_behind_others_are_cut_out_at_their_own_place():
    rows = pa.table({"key": [f"k{n}" for n in range(MANY)], "hash": ["longer than the rest", *HASHES[1:]]}).slice(1)

    assert written(rows) == list(zip(rows.column("key").to_pylist(), HASHES[1:], strict=True))


@pytest.mark.parametrize("other", [MIXED, pa.array([n * 1.5 for n in range(MANY)]), pa.array([None, *HASHES[1:]])])
def test_columns_that_cannot_be_bound_whole_are_bound_row_by_row(other: pa.Array):
    rows = pa.table({"key": [f"k{n}" for n in range(MANY)], "other": other})

    assert written(rows) == list(zip(rows.column("key").to_pylist(), other.to_pylist(), strict=True))
