"""Answers of one session, read in one pass: what the last answers had for members, the next ones mostly have too.

An answer is scanned once to find its members, and its list of records a second time to cut it. Into an object made for
these members both are one scan. An answer with another member, or without a list where one was, is read the usual way,
and the object is made anew for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from connectors.sdk.forms import UNWRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Raw = bytes | msgspec.Raw
Members = dict[str, Raw | list[Raw]]

_LEARNINGS: Final = 8  # answers that are ever other ones are not worth it
_MEMBERS: Final = 50
_REFUSED: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Envelopes:
    """Knows the members of a session's answers."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._left = _LEARNINGS
        self._lists: dict[str, bool] = {}
        self._names: Mapping[str, str] = {}
        self._decode: Callable[[Raw], Any] | None = None

    def read(self, content: Raw) -> Members | None:
        """Return the members of a JSON object, lists cut into their elements; None if it is not as the ones before it."""
        if self._decode is None:
            return None
        try:
            found = self._decode(content)
        except _REFUSED:
            return None
        values = ((name, getattr(found, field)) for field, name in self._names.items())
        return {name: value for name, value in values if value is not msgspec.UNSET}

    def learn(self, lists: Mapping[str, bool]) -> None:
        """Take the members of an answer that was read the usual way, and which of them are lists."""
        self._decode = None
        if not self._left:
            return
        self._left -= 1
        self._lists.update(lists)
        if len(self._lists) > _MEMBERS or any(not UNWRITABLE.isdisjoint(name) for name in self._lists):
            self._left = 0
            return
        self._names = {f"f{number}": name for number, name in enumerate(self._lists)}
        kinds = (
            (field, list[msgspec.Raw] if self._lists[name] else msgspec.Raw) for field, name in self._names.items()
        )
        fields: list[tuple[str, Any, Any]] = [(field, kind, msgspec.UNSET) for field, kind in kinds]
        made = msgspec.defstruct("Answer", fields, rename=self._names, forbid_unknown_fields=True, gc=False)
        self._decode = msgspec.json.Decoder(made).decode
