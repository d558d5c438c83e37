"""Which version of each row counts at a moment: a pure function of versions, commit and instant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EVER = np.iinfo(np.int64).min


def chosen(versions: pa.Table, seq: int, valid: datetime | None, *, dated: bool = False) -> pa.Table:
    """Return at most one version of each (source_record_id, row_key).

    Without ``valid`` the one known at the commit, unless it was deleted. With it, of those known by the commit, the one with
    the latest vendor's time not after the instant, of equal times the one known later; none where that one was deleted by
    then. A row without a vendor's time has been true for ever. ``dated`` rows have valid_from and valid_to of their own.
    """
    if valid is None:
        current = pc.or_kleene(pc.is_null(versions.column("known_to")), pc.greater(versions.column("known_to"), seq))
        rows = versions.filter(pc.and_(current, pc.is_null(versions.column("deleted_at"))))
        return rows.filter(pc.is_null(rows.column("valid_to"))) if dated else rows
    rows = _latest(versions, _micros(valid))
    rows = rows.filter(_after(rows, "deleted_at", valid))
    if not dated:
        return rows
    began = pc.or_kleene(
        pc.is_null(rows.column("valid_from")), pc.less_equal(rows.column("valid_from"), _scalar(valid))
    )
    return rows.filter(pc.and_(began, _after(rows, "valid_to", valid)))


def _latest(versions: pa.Table, moment: int) -> pa.Table:
    """Take the last version of each row whose time is not after the moment."""
    times = _times(versions)
    rows = versions.filter(pa.array(times <= moment))
    times = times[times <= moment]
    keys = pc.binary_join_element_wise(rows.column("source_record_id").cast(pa.string()), rows.column("row_key"), "\n")
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((rows.column("known_from").to_numpy(), times, codes))
    last = np.append(codes[order][1:] != codes[order][:-1], [True]) if len(order) else np.array([], np.bool_)
    return rows.take(pa.array(np.sort(order[last])))


def _times(rows: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = pc.fill_null(rows.column("record_time").cast(pa.int64()), _EVER).to_numpy()
    return times


def _after(rows: pa.Table, column: str, moment: datetime) -> Any:
    return pc.or_kleene(pc.is_null(rows.column(column)), pc.greater(rows.column(column), _scalar(moment)))


def _scalar(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment.astimezone(UTC), pa.timestamp("us", tz="UTC"))


def _micros(moment: datetime) -> int:
    return int(_scalar(moment).cast(pa.int64()).as_py())
