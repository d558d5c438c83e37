"""Streams of many parts: the work of a commit is in the records, not in a question to the store for each part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import event

from connectors.sdk.protocols import Completeness, Page, ReadKind
from pipelines import extract
from pipelines.store import reads

if TYPE_CHECKING:
    from tests._hub import Hub


def _pages(hub: Hub, parts: int, *, parent: str = "h") -> list[Page]:
    """One page with one record of its own for each part."""
    whole = hub.page([{"id": n, "first": f"P{n}", "updated": "2026-01-01T00:00:00Z"} for n in range(parts)])
    return [
        replace(whole, partition=f"parents={n}", parent_hash=f"{parent}{n}", records=(record,), wire=1)
        for n, record in enumerate(whole.records)
    ]


def _statements(hub: Hub, pages: list[Page]) -> int:
    """Return how many statements one run sends to the store."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    hub.vendor.pages = pages
    event.listen(hub.store.engine, "before_cursor_execute", note)
    try:
        assert extract.run(hub.context()).ok
    finally:
        event.remove(hub.store.engine, "before_cursor_execute", note)
    return len(sent)


def test_a_commit_takes_as_many_statements_for_many_parts_as_for_few(sqlite_hub: Hub) -> None:
    first = _statements(sqlite_hub, _pages(sqlite_hub, 10))
    assert _statements(sqlite_hub, _pages(sqlite_hub, 10)) <= first, "records met again"
    assert _statements(sqlite_hub, _pages(sqlite_hub, 300)) <= first + 5, "new parts and known ones"


def test_each_part_keeps_its_own_state_and_success(hub: Hub) -> None:
    pages = _pages(hub, 6)
    pages[2] = replace(
        pages[2], completeness=Completeness.UNKNOWN, reason="in doubt", cursor="2026-01-01T00:00:00.000000Z"
    )
    pages[3] = replace(pages[3], completeness=None, position={"kind": "SNAPSHOT", "at": {"after": "x"}})
    pages[4] = replace(pages[4], cursor="2026-01-02T00:00:00.000000Z", kind=ReadKind.BACKFILL)
    hub.vendor.pages = pages

    report = extract.run(hub.context())

    rows = {row.partition: row for row in reads.partitions(hub.store, "toy", "people")}
    assert {name: (row.completeness, row.parent_hash, row.cursor) for name, row in rows.items()} == {
        "parents=0": ("COMPLETE", "h0", None), "parents=1": ("COMPLETE", "h1", None),
        "parents=2": ("UNKNOWN", None, None), "parents=3": (None, None, None),
        "parents=4": ("COMPLETE", "h4", "2026-01-02T00:00:00.000000Z"), "parents=5": ("COMPLETE", "h5", None),
    }  # fmt: skip
    assert (rows["parents=3"].position, rows["parents=4"].state) == (
        {"kind": "SNAPSHOT", "at": {"after": "x"}},
        "backfill",
    )
    assert (report.completeness, report.details["reason"]) == ("UNKNOWN", "in doubt")


def test_unfinished_parts_are_gone_on_with_and_their_reads_keep_their_numbers(hub: Hub) -> None:
    def open_reads() -> dict[str, int | None]:
        return {row.partition: row.open_read_id for row in reads.partitions(hub.store, "toy", "people")}

    hub.vendor.pages = [
        replace(page, completeness=None, position={"kind": "SNAPSHOT", "at": {"after": "x"}}) for page in _pages(hub, 3)
    ]
    extract.run(hub.context())
    before = open_reads()
    hub.vendor.pages = [*_pages(hub, 2)[:1], replace(hub.vendor.pages[1], restarted=True)]
    extract.run(hub.context())

    after = open_reads()
    assert None not in before.values()
    assert after["parents=0"] is None
    assert after["parents=1"] not in (None, before["parents=1"]), "the vendor refused the position: another read"
    assert after["parents=2"] == before["parents=2"]


def test_a_record_that_two_parts_show_is_the_later_ones(hub: Hub) -> None:
    one, two = _pages(hub, 2)
    newer = replace(two, records=(two.records[0]._replace(key="0"),))
    hub.vendor.pages = [one, newer]

    report = extract.run(hub.context())

    assert (report.ok, report.counts["loaded"]) == (True, 2)
    with hub.store.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT s.partition FROM raw_head AS h JOIN segment AS s ON s.segment_id = h.segment_id"
        ).fetchall()
    assert [tuple(row) for row in found] == [("parents=1",)]
