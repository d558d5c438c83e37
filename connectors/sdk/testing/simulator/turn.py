"""One request on its way through a vendor, and the hooks at which hazards may change what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .holdings import Held, Result
    from .message import Request, Response
    from .shape import Endpoint


class _Absent:
    """Type of ABSENT."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass
class Turn:
    """What is known of a request so far: ``page`` counts from 1, 0 where there are no pages (tokens, errors)."""

    request: Request
    endpoint: Endpoint | None = None
    stream: str | None = None
    page: int = 0
    start: int = 0
    size: int = 0
    result: Result | None = None
    records: int = 0
    hazards: list[str] = field(default_factory=list)


@dataclass
class Leaf:
    """One page before it is written: its records, each with its bytes, and the words of the answer.

    A word that is ABSENT is left out of the answer; without ``records`` the list is null.
    """

    held: list[Held]
    texts: list[str]
    words: dict[str, Any]
    start: int
    end: int
    size: int
    result: Result
    null: bool = False


class Hazards(Protocol):
    """What may go wrong at one vendor."""

    def before(self, turn: Turn) -> bool:
        """Act before a page is cut; return whether what the vendor holds has changed."""

    def result(self, turn: Turn, result: Result) -> Result:
        """Return the list that pages are cut from."""

    def start(self, turn: Turn, start: int, size: int) -> int | None:
        """Return where to cut instead of at ``start``; null: there."""

    def most(self, turn: Turn) -> int | None:
        """Return how many records this page may hold; null: as many as usual."""

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Change a page before it is written."""

    def text(self, stream: str, held: Held, text: str) -> str:
        """Return a record as it is written."""

    def answered(self, turn: Turn, response: Response) -> Response:
        """Return the answer, changed or not."""


class NoHazards:
    """A vendor at its best."""

    def before(self, _turn: Turn) -> bool:
        """Change nothing."""
        return False

    def result(self, _turn: Turn, result: Result) -> Result:
        """Return the result."""
        return result

    def start(self, _turn: Turn, _start: int, _size: int) -> int | None:
        """Return no other place."""
        return None

    def most(self, _turn: Turn) -> int | None:
        """Return no limit."""
        return None

    def leaf(self, _turn: Turn, _leaf: Leaf) -> None:
        """Change nothing."""

    def text(self, _stream: str, _held: Held, text: str) -> str:
        """Return the text."""
        return text

    def answered(self, _turn: Turn, response: Response) -> Response:
        """Return the answer."""
        return response


def shown(held: Sequence[Held]) -> list[Held]:
    """Return the records that are ever shown."""
    return [record for record in held if not record.hidden]
