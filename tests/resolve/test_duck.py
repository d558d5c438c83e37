"""What a connection of resolve may take of the machine."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.resolve import engine, load_policy
from pipelines.resolve.batches import in_batches
from pipelines.resolve.duck import MEMORY_MB, budget_mb, connect
from pipelines.resolve.match_view import match_table


def test_a_million_records_get_the_budget_that_keeps_them_below_four_gigabytes():
    assert budget_mb(0, 18_000) == budget_mb(1_000_000, 18_000) == MEMORY_MB


def test_more_records_get_more_up_to_half_of_what_the_machine_gives():
    assert budget_mb(3_000_000, 64_000) == 3 * MEMORY_MB
    assert budget_mb(50_000_000, 16_000) == 8_000


def test_a_small_machine_is_not_promised_more_than_before():
    assert budget_mb(50_000_000, 1_000) == budget_mb(50_000_000, 0) == MEMORY_MB


def test_the_budget_is_set_on_the_connection():
    with connect() as con:
        (limit,) = con.execute("SELECT current_setting('memory_limit')").fetchone()

    assert limit == "1.9 GiB"


def test_half_of_the_budget_is_kept_between_statements_and_none_of_it_flushed():
    names = ("block_allocator_memory", "allocator_flush_threshold", "allocator_bulk_deallocation_flush_threshold")
    with connect() as con:
        kept = con.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}").fetchone()

    assert kept == ("1001.3 MiB", "1.9 GiB", "1.9 GiB")


def test_resolve_asks_for_the_budget_of_its_records(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    monkeypatch.setattr(engine, "connect", lambda rows=0: (asked.append(rows), connect(rows))[1])
    records = match_table("person", {"source_record_id": [1, 2, 3], "source_ref": ["a/1", "a/2", "a/3"]})

    engine.resolve_table(records, "person", load_policy())

    assert asked == [3]


def test_rows_come_in_batches_for_every_thread():
    batched = in_batches(pa.table({"n": range(150_000)}))

    assert batched["n"].num_chunks > 2
    assert batched["n"].to_pylist() == list(range(150_000))
