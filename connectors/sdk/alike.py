"""Many records read at once where each of them is as most are: a text as key, a time in UTC, nothing to look into.

A step of Python for each record and each of its fields is most of what reading costs; here a field of all records is one
step. Whatever is not so plain is left to the reader of single records, which decides alone what becomes of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connectors.sdk import canonical
from connectors.sdk.protocols import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from connectors.sdk.forms import Form
    from connectors.sdk.paths import Path

AT_ONCE: Final = 100  # few enough to stay in the processor's cache
_UTC: Final = {UTC}


class Alike(NamedTuple):
    """What is read of each record: ``key`` and ``time`` are members of the record itself, ``dated`` makes its time the cursor.

    ``deleted`` is a path and what a value there says.
    """

    key: str
    time: str | None
    dated: bool
    deleted: tuple[Path, Callable[[Any], bool]] | None
    volatile: Sequence[Path]
    max_bytes: int
    max_depth: int
    form: Form

    def read(self, payloads: list[bytes], parent: bytes | None) -> Records | None:
        """Return the records, or None if they are not all good and plain."""
        if not self._are_harmless(payloads):
            return None
        try:
            documents = self.form.read(payloads)
            keys = documents.members(self.key)
            texts = documents.members(self.time) if self.time else []
            times: list[Any] = list(map(datetime.fromisoformat, texts))
        except (KeyError, TypeError, *canonical.UNREADABLE):
            return None
        if set(map(type, keys)) != {str} or "" in keys or {time.tzinfo for time in times} - _UTC:
            return None
        n = len(payloads)
        path, says = self.deleted or ((), None)
        ops = ["delete" if says(found) else "upsert" for found in documents.found(path)] if says else ["upsert"] * n
        nothing: list[None] = [None] * n
        cursors = texts if self.dated else nothing
        return Records.of_fields(
            keys, payloads, documents.digests(self.volatile), times or nothing, cursors, ops, [parent] * n, [None] * n
        )

    def _are_harmless(self, payloads: list[bytes]) -> bool:
        """Return whether no record can be too large, too deep, or hold a NUL; said without looking at each on its own."""
        whole = b"".join(payloads)
        # numpy would count faster and let go of Python's lock at every step: beside a thread that commits, that costs more
        opening = whole.count(b"{") + (whole.count(b"[") if b"[" in whole else 0)
        return (
            max(map(len, payloads)) <= self.max_bytes
            # each record opens one bracket at least, so that none has more than what the others leave
            and (opening - len(payloads) < self.max_depth or all(map(self._is_shallow, payloads)))
            and not (b"\\" in whole and b"\\u0000" in whole)
        )

    def _is_shallow(self, payload: bytes) -> bool:
        return payload.count(b"{") + payload.count(b"[") <= self.max_depth


def chunks(payloads: list[bytes]) -> Iterator[list[bytes]]:
    """Yield the payloads, as many as are read at once."""
    for start in range(0, len(payloads), AT_ONCE):
        yield payloads[start : start + AT_ONCE]
