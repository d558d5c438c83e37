"""The commit protocol for one read at a time, over the functions that commit many: what the tests of the store speak."""

from __future__ import annotations

from pipelines.store import WriteTransaction, commits
from pipelines.store.reads import OpenRead, Segment


def open_read(
    tx: WriteTransaction,
    load_id: int,
    connection_id: str,
    stream: str,
    partition: str,
    kind: str,
    *,
    restart: bool = False,
) -> OpenRead:
    wanted = commits.Wanted(partition, kind, restart=restart)
    return commits.open_reads(tx, load_id, connection_id, stream, [wanted])[partition, kind]


def commit_segment(tx: WriteTransaction, opened: OpenRead, part: Segment) -> None:
    commits.commit_parts(tx, [commits.Part(opened, part)])


def finish_read(
    tx: WriteTransaction, opened: OpenRead, completeness: str, *, name: str = "contact", **end: str
) -> None:
    """End a read as extract does: with a last segment, here one that brings nothing."""
    commits.commit_parts(tx, [commits.Part(opened, Segment(name), commits.End(completeness, **end))])
