"""The answer to a write that rests on what is no longer so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.sdk.errors import UnisonoError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Conflict(UnisonoError):
    """Something changed since the person looked (HTTP 409): nothing was written, ``changes`` says what is different."""

    exit_code = 3

    def __init__(self, what: str, changes: Sequence[str], seen: int) -> None:
        self.changes = tuple(changes)
        super().__init__(
            what, why=f"since change {seen}: {'; '.join(changes)}",
            do="nothing was written; look again (`unisono review show`) and decide on what you see then",
        )  # fmt: skip
