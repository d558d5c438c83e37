"""Take texts out of every table, wherever they stand: what erasure does to rows that are not the person's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary, Table, Text, and_, cast, func, or_, select, type_coerce, update

from canonical_model import load_vocabulary
from pipelines.store.tables import metadata
from pipelines.store.types import Instant, Json, NfcText, json_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Column, ColumnElement

    from pipelines.store.leases import Lease
    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

ERASED: Final = "[erased]"
_KEPT = frozenset({
    "alembic_version", "commit_log", "connection", "counter", "erasure", "fence", "source_record", "stage_watermark",
    "store_info", "suppression",
})  # fmt: skip
_OURS = frozenset({"actor", "cause"})
_ROWS = 500


def redact(store: Store, lease: Lease, needles: Collection[str], *, actor: str) -> int:
    """Put ``[erased]`` in the place of each of these texts in every table; returns how many rows held one.

    Letter case does not matter. Keys of rows are left as they are. Found by reading, changed in short transactions.
    """
    if not needles:
        return 0
    pattern = pattern_of(needles)
    return sum(_redact_table(store, lease, table, needles, pattern, actor) for table in metadata.sorted_tables)


def pattern_of(needles: Collection[str]) -> re.Pattern[str]:
    """Return what finds any of the texts, also as JSON writes them, the longest first."""
    spelled = {form for needle in needles for form in forms(needle)}
    return re.compile("|".join(re.escape(each) for each in sorted(spelled, key=lambda e: (-len(e), e))), re.IGNORECASE)


def forms(needle: str) -> set[str]:
    """Return a text as it may stand in a document: plain, as our JSON writes it, and with everything escaped."""
    escaped = needle.encode("ascii", "backslashreplace").decode() if not needle.isascii() else needle
    return {needle, json_text(needle)[1:-1], escaped, needle.replace("/", "\\/")}


def _redact_table(
    store: Store, lease: Lease, table: Table, needles: Collection[str], pattern: re.Pattern[str], actor: str
) -> int:
    columns = [
        column for column in table.columns if _is_text(column) and not column.primary_key and column.name not in _OURS
    ]
    if table.name in _KEPT or not columns:
        return 0
    held = _holds(store.dialect, columns, {form for each in needles for form in forms(each)})
    key = list(table.primary_key)
    statement = select(*key, *(type_coerce(column, _raw(column)) for column in columns))
    rows = store.read(statement.where(table.c.tenant_id == lease.tenant_id, held))
    for start in range(0, len(rows), _ROWS):
        with store.write(lease, cause="erase", actor=actor) as tx:
            for row in rows[start : start + _ROWS]:
                mine = [part == value for part, value in zip(key, row, strict=False)]
                texts = zip(columns, row[len(key) :], strict=True)
                values = {c.name: type_coerce(_without(text, pattern), _raw(c)) for c, text in texts}
                tx.execute(update(table).where(and_(*mine)).values(**values, **_change(tx, table)))
    return len(rows)


def _change(tx: WriteTransaction, table: Table) -> dict[str, Any]:
    """Mark the current rows of sources as changed; of other tables the number says when something else happened."""
    current = table.name in load_vocabulary().entities
    return {
        name: value for name, value in tx.change(table).items() if current and name not in ("known_from", "tenant_id")
    }


def _without(text: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(text, bytes):
        return pattern.sub(ERASED, text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return None if text is None else pattern.sub(ERASED, text)


def _raw(column: Column[Any]) -> Any:
    return LargeBinary() if isinstance(column.type, LargeBinary) else Text()


def _is_text(column: Column[Any]) -> bool:
    """Tell whether a column may hold a person's words; of bytes only the raw records of quarantine do."""
    raw = isinstance(column.type, LargeBinary) and column.table.name == "quarantine"
    return raw or (isinstance(column.type, (NfcText, Json)) and not isinstance(column.type, Instant))


def _holds(dialect: str, columns: Sequence[Column[Any]], needles: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that one of the columns holds one of the texts; all of a row are looked at as one."""
    words: list[ColumnElement[str]] = [
        func.coalesce(cast(c, Text), "") for c in columns if not isinstance(c.type, LargeBinary)
    ]
    find = func.strpos if dialect == "postgresql" else func.instr
    row = words[0]
    for word in words[1:]:
        row = row + "\x1f" + word
    found = [find(func.lower(row), needle.lower()) > 0 for needle in needles]
    found += [find(row, needle) > 0 for needle in needles if not needle.isascii()]
    raw = func.pg_catalog.position if dialect == "postgresql" else func.instr
    found += [raw(c, n.encode()) > 0 for c in columns if isinstance(c.type, LargeBinary) for n in needles]
    return or_(*found)
