"""Relations of another moment: those of the influence map that were known by a commit and held at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.influence.rules import OVERRULED
from pipelines.store import history_reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from pipelines.history.channels import Moment

_RELATED = "golden_relationship"
_BOOKKEEPING = frozenset({"known_from", "change_seq", "known_to"})


def relationships_at(moment: Moment, ids: pa.Array | None = None) -> tuple[Mapping[str, Any], ...]:
    """Return the relations at either end of which one of ``ids`` stands, or all; in a fixed order.

    Golden relations are kept as they were written (ADR 0004). Without an instant all that were known count, also what had
    ended; with one, those that held then, by their own dates. What another relation overruled is none.
    """
    told: dict[str, Mapping[str, Any]] = {}
    for end in ("from", "to"):
        rows = history_reads.rows_known(
            moment.store, moment.tenant_id, _RELATED, moment.seq, column=f"{end}_id", ids=ids
        )
        for row in rows.to_pylist():
            if row[f"{end}_entity"] == moment.entity and row["conflict"] != OVERRULED and _holds(row, moment):
                kept = {name: value for name, value in row.items() if name not in _BOOKKEEPING}
                told[repr(kept)] = kept
    return tuple(told[key] for key in sorted(told))


def _holds(row: Mapping[str, Any], moment: Moment) -> bool:
    if moment.valid is None:
        return True
    began, ended = row["valid_from"], row["valid_to"]
    return (began is None or began <= moment.valid) and (ended is None or ended > moment.valid)
