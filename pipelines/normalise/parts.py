"""What is due, by files; and the rows of it, in the parts that one transaction takes each."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.compute import query
from pipelines.landing import SCHEMA, Landing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from pipelines.store.heads import CommittedSegment

BATCH_ROWS: Final = 20_000
"""So many records are written in one transaction, which keeps it short."""
MAPPED_TOGETHER: Final = 2
"""So many times as many are mapped at once: to plan a mapping's statements costs as much for few records as for many."""
NOTHING: Final = SCHEMA.append(pa.field("segment_id", pa.int64())).append(pa.field("row_no", pa.int64())).empty_table()


class Piece(NamedTuple):
    """Rows of one landed file: so many from ``first`` on, or those whose place in the file is in ``places``."""

    name: str
    segment_id: int
    first: int
    rows: int
    places: pa.Array | None = None


class Batch(NamedTuple):
    """Pieces that go through together; ``watermark`` is what is consumed once they are committed."""

    pieces: Sequence[Piece]
    watermark: int | None


def new_batches(segments: Sequence[CommittedSegment], watermark: int) -> Iterator[Batch]:
    """Yield what was committed after the watermark; a commit is never split over two watermarks."""
    waiting: list[Piece] = []
    number, last, most = 0, watermark, BATCH_ROWS
    for seq, committed in groupby(segments, key=lambda one: one.change_seq):
        landed = [piece_of(file, one.segment_id) for one in committed for file in one.files]
        size = sum(piece.rows for piece in landed)
        if waiting and number + size > most:
            yield Batch(waiting, last)
            waiting, number = [], 0
            most = min(most + BATCH_ROWS, BATCH_ROWS * MAPPED_TOGETHER)  # the first is small, for the writer to begin
        waiting = waiting + landed
        number, last = number + size, seq
    if last > watermark:
        yield Batch(waiting, last)


def stale_batches(found: pa.Table, files: Mapping[int, Sequence[Any]]) -> Iterator[Batch]:
    """Yield these heads (segment_id, row_no) file by file; ``files`` are those of each segment."""
    for segment_id in found.column("segment_id").unique().to_pylist():
        mine = found.filter(pc.equal(found.column("segment_id"), segment_id))
        places = mine.column("row_no").combine_chunks()
        name = str(files[segment_id][0]["name"])
        for start in range(0, len(places), BATCH_ROWS):
            some = places.slice(start, BATCH_ROWS)
            yield Batch([Piece(name, segment_id, 0, len(some), some)], None)


def piece_of(file: Mapping[str, int | str], segment_id: int) -> Piece:
    """Return the rows that a segment has in a file."""
    return Piece(str(file["name"]), segment_id, int(file["first"]), int(file["rows"]))


def read_piece(landing: Landing, piece: Piece) -> pa.Table:
    """Return a piece's rows but those that were erased, each with its segment."""
    landed = landing.read(piece.name)
    if piece.places is None:
        table = landed.slice(piece.first, piece.rows)
    else:
        table = landed.filter(pc.is_in(landed.column("ordinal"), value_set=piece.places))
    erased = pc.equal(table.column("op"), "erased")
    if pc.any(erased).as_py():
        table = table.filter(pc.invert(erased))
    return table.append_column("segment_id", pa.repeat(pa.scalar(piece.segment_id, pa.int64()), table.num_rows))


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """Put rows together; ``row_no`` keeps a row's place in its file, ``ordinal`` counts through the whole."""
    if not tables:
        return NOTHING
    whole = pa.concat_tables(tables)
    whole = whole.append_column("row_no", whole.column("ordinal"))
    return whole.set_column(whole.column_names.index("ordinal"), "ordinal", pa.array(np.arange(whole.num_rows)))


def in_rounds(batch: pa.Table) -> list[pa.Table]:
    """Split rows so that no source key comes twice in a part; parts keep the order in which a key was landed.

    A record that was landed twice takes two rounds, each a transaction of its own, so that its history has both.
    """
    if pc.count_distinct(batch.column("source_key"), mode="all").as_py() == batch.num_rows:
        return [batch] if batch.num_rows else []
    numbered = query(
        "SELECT *, row_number() OVER (PARTITION BY source_key ORDER BY ordinal) AS round FROM batch ORDER BY ordinal",
        batch=batch,
    )
    rounds = query("SELECT DISTINCT round FROM numbered ORDER BY round", numbered=numbered).column(0).to_pylist()
    part = "SELECT * EXCLUDE round FROM numbered WHERE round = $round ORDER BY ordinal"
    return [query(part, {"round": number}, numbered=numbered) for number in rounds]
