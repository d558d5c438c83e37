"""The account of a segment: what came over the wire is what was kept or refused, counted twice by different means.

A segment whose numbers do not agree is never committed: the read stays where it was, and nothing can go missing unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.sdk.errors import Unaccounted
from pipelines.store import quarantine
from pipelines.store.tables import SEGMENT_COUNTS

if TYPE_CHECKING:
    from pipelines.store.reads import OpenRead, Segment
    from pipelines.store.transaction import WriteTransaction

_KEPT = SEGMENT_COUNTS[1:]


def check_segment(part: Segment, *, where: str) -> None:
    """Raise Unaccounted unless wire = loaded + unchanged + duplicate + filtered + quarantined and the rows are there."""
    unknown = set(part.counts) - set(SEGMENT_COUNTS)
    if unknown:
        raise ValueError(f"unknown counts {sorted(unknown)}; known: {', '.join(SEGMENT_COUNTS)}")
    count = {name: part.counts.get(name, 0) for name in SEGMENT_COUNTS}
    kept = sum(count[name] for name in _KEPT)
    if count["wire"] != kept:
        told = " + ".join(f"{count[name]} {name}" for name in _KEPT)
        raise _unaccounted(where, f"{count['wire']} records came over the wire, {kept} are accounted for ({told})")
    landed = sum(int(file["rows"]) for file in part.files)
    if not count["loaded"] == part.records == landed:
        raise _unaccounted(where, f"{count['loaded']} records count as loaded, {landed} were written")
    bad = 0 if part.quarantine is None else part.quarantine.num_rows
    if count["quarantined"] != bad:
        raise _unaccounted(where, f"{count['quarantined']} records count as quarantined, {bad} are kept there")


def settle_quarantine(tx: WriteTransaction, opened: OpenRead, part: Segment, segment_id: int) -> None:
    """Close the entries of records that this segment brought in good order, then enter its bad ones."""
    place = ("extract", opened.connection_id, opened.stream)
    if part.heads is not None:
        keys = part.heads.select(["source_key"])
        quarantine.resolve(tx, *place, keys.append_column("object", pa.repeat(part.object, keys.num_rows)))
    if part.seen is not None and len(part.seen):
        quarantine.resolve_met(tx, *place, part.seen)
    if part.quarantine is not None:
        number = pa.repeat(pa.scalar(segment_id, pa.int64()), part.quarantine.num_rows)
        quarantine.add(tx, *place, part.quarantine.append_column("segment_id", number))


def _unaccounted(where: str, why: str) -> Unaccounted:
    return Unaccounted(
        "records are not accounted for, so nothing of this segment was kept", where=where, why=why,
        do="report this with the connector: it is a fault of the engine; a later run reads the segment again",
    )  # fmt: skip
