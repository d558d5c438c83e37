"""dlt sources as somebody else would have written and installed them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import dlt
import pyarrow as pa

ROWS: list[dict[str, Any]] = []
BEGAN_AT: list[Any] = []


@dlt.source
def crm(greeting: str = "hello") -> Any:
    """A source of two resources, one of them incremental by an argument of its function."""

    @dlt.resource(primary_key="id")
    def customers(
        updated: dlt.sources.incremental[int] = dlt.sources.incremental("updated", initial_value=0),  # noqa: B008
    ) -> Iterator[Any]:
        BEGAN_AT.append(updated.last_value)
        yield [row for row in ROWS if row["updated"] >= updated.last_value]

    @dlt.resource(primary_key="id")
    def orders() -> Iterator[Any]:
        state = dlt.current.resource_state()
        state["runs"] = state.get("runs", 0) + 1
        yield {"id": state["runs"], "said": greeting}

    return customers, orders


@dlt.resource(primary_key="id")
def table(rows: int = 3) -> Iterator[pa.Table]:
    """Arrow tables of customers."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for first in range(0, rows, 20_000):
        numbers = range(first, min(rows, first + 20_000))
        yield pa.table(
            {
                "id": pa.array(numbers, pa.int64()),
                "first": [f"First {number}" for number in numbers],
                "last": [f"Last {number % 977}" for number in numbers],
                "email": [f"person.{number}@mail.example" for number in numbers],
                "amount": pa.array([Decimal(number) / 100 for number in numbers], pa.decimal128(20, 6)),
                "updated_at": pa.array(
                    [began + timedelta(seconds=number) for number in numbers], pa.timestamp("us", tz="UTC")
                ),
            }
        )


@dlt.resource(primary_key="id")
def breaks() -> Iterator[Any]:
    """Two good rows, then a fault of the source."""
    yield [{"id": 1}, {"id": 2}]
    raise RuntimeError("the source fell over")


@dlt.resource(primary_key="id")
def odd() -> Iterator[Any]:
    """Values that JSON has no form for, among some that it has."""
    yield {"id": 1, "fine": {"deep": [Decimal("1.10"), b"x", None]}}
    yield {"id": 2, "bad": float("nan")}
    yield {"id": 3, "bad": object()}
    yield {"id": 4, "bad": "\ud800"}
