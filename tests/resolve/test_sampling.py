"""Samples of like data are alike."""

from __future__ import annotations

import duckdb

from pipelines.resolve import sampling


def _sampled(refs: list[str]) -> list[str]:
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE match AS SELECT unnest($1) AS source_ref, unnest(range(len($1))) AS rid", [sorted(refs)]
        )
        con.execute("CREATE TABLE norm AS SELECT rid, source_ref LIKE 'stub/%' AS is_stub FROM match")
        sampling.sample(con)
        found = con.execute("SELECT source_ref FROM sampled JOIN match USING (rid) ORDER BY place").fetchall()
    return [ref for (ref,) in found]


def test_a_hundredth_more_records_exchange_about_a_hundredth_of_a_sample() -> None:
    refs = [f"crm/contact/{n:06}" for n in range(10_000)]

    before, after = _sampled(refs), _sampled([*(f"a/new/{n}" for n in range(100)), *refs])

    assert len(before) == len(after) == sampling.MOST
    gone = set(before) - set(after)
    assert 0 < len(gone) <= sampling.MOST * 0.02
    assert [ref for ref in after if ref in set(before)] == [ref for ref in before if ref not in gone]


def test_a_sample_is_the_same_for_any_order_and_leaves_stubs_out() -> None:
    refs = [f"crm/contact/{n:06}" for n in range(500)]

    assert _sampled([*refs[::-1], "stub/1"]) == _sampled(refs)
    assert sorted(_sampled(refs)) == refs
