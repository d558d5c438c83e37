"""Records of erased people are filtered before they land (ARCHITECTURE §6, "Erasure")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.protocols import Records

if TYPE_CHECKING:
    from connectors.sdk.protocols import RawRecord
    from pipelines.store.suppression import Suppressed

ERASED = "erased"
"""The rule that filtered records of erased people are counted under."""
PARTIES = frozenset({"person", "organization"})


def without_erased(records: Records, erased: Suppressed, connection_id: str, name: str, is_party: bool) -> Records:
    """Return the records that are nobody's who was erased.

    Every stream: no erased record, by its key. Streams of parties also: no record that one of the erased person's
    addresses, numbers or identifiers stands in, under whatever key it comes back.
    """
    kept = [one for one in records if not _is_erased(one, erased, connection_id, name, is_party)]
    return records if len(kept) == len(records) else Records(kept)


def _is_erased(record: RawRecord, erased: Suppressed, connection_id: str, name: str, is_party: bool) -> bool:
    if record.key is not None and erased.has_record(connection_id, name, record.key):
        return True
    return is_party and record.problem is None and erased.has_value_in(record.payload)
