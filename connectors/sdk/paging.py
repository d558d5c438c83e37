"""What every paginator is given and gives: where to go on after a page.

A position is a small JSON mapping, stored between runs. A paginator stops only on what the vendor said (raw record
counts, totals, markers), never on what we kept of it, and says so when the end is not proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connectors.sdk import paths
from connectors.sdk.changed import changed

if TYPE_CHECKING:
    import httpx

    from connectors.sdk.body import Body
    from connectors.sdk.paths import Path

Position = Mapping[str, Any]
# In a position: the page before was short, so that the vendor may well refuse this one as past the end.
PROBE: Final = "probe"
Params = tuple[tuple[str, str], ...]
_SORTED: Final = json.JSONEncoder(sort_keys=True).encode


@dataclass(frozen=True)
class Request:
    """One request, fully rendered; ``body`` is JSON; ``followed`` says that the vendor gave the address."""

    method: str
    url: str
    params: Params = ()
    headers: Params = ()
    body: Any = None
    followed: bool = False

    def with_param(self, name: str, value: str) -> Request:
        """Return the request with ``name`` set once."""
        kept = tuple(pair for pair in self.params if pair[0] != name)
        return changed(self, params=(*kept, (name, value)))


@dataclass(frozen=True)
class Answer:
    """What a paginator may look at: the parsed page, its raw count, and what came before it.

    ``wire`` counts the records as sent; ``seen`` counts those of earlier pages of the chain; ``page_size`` is what
    was asked for (``None`` when nothing was). ``repeated`` says that another position gave the same page before,
    ``again`` counts the records of such pages so far. ``url`` may hold secrets, ``where`` never does.
    """

    body: Body
    headers: httpx.Headers
    url: str
    where: str
    wire: int
    seen: int
    page_size: int | None
    last: bytes | None = None
    position: Position | None = None
    null_list: bool = False
    again: int = 0
    repeated: bool = False

    @property
    def came(self) -> int:
        """Records of the chain so far."""
        return self.seen + self.wire

    @property
    def distinct(self) -> int:
        """Records of the chain so far, pages that came again under another position left out."""
        return self.came - self.again

    @property
    def full(self) -> bool:
        """True when the page holds as many records as were asked for."""
        return self.page_size is not None and self.wire >= self.page_size


@dataclass(frozen=True)
class Paginator:
    """Base of all: ``apply`` puts a position into the first request, ``next`` finds the next one."""

    type: ClassVar[str] = ""
    keeps_params: ClassVar[bool] = True
    counts: ClassVar[bool] = False  # positions are counted by us: one page in another's place is one page missing
    params_on_next: str | None = None
    total_path: Path | None = None
    total_header: str | None = None

    def first(self, request: Request, page_size: int | None) -> Request:
        """Return the request of the first page."""
        del page_size
        return request

    def apply(self, request: Request, position: Position) -> Request:
        """Return the request of the page at ``position``."""
        raise NotImplementedError

    def next(self, answer: Answer) -> Position | None:
        """Return where to go on after ``answer``, ``None`` at the end; raise StopStream on contradictions."""
        raise NotImplementedError

    def total(self, answer: Answer) -> int | None:
        """Return the vendor's own count of records, where it is declared and given."""
        if self.total_header is not None:
            return number(answer.headers.get(self.total_header))
        return number(answer.body.get(self.total_path)) if self.total_path is not None else None

    def doubt(self, answer: Answer) -> str | None:
        """Return why the end after the last ``answer`` is not proven, ``None`` when it is."""
        total, came = self.total(answer), answer.came
        if total is not None and came < total:
            return f"the vendor counts {total} records, {came} came"
        if answer.null_list and not self.marked_end(answer):
            return "the record list is null and nothing else says that this is the end"
        if answer.full and not self.is_proven(answer):
            return (
                f"a full page of {answer.wire} records, and neither a next page nor anything that says it is the last"
            )
        return None

    def is_proven(self, answer: Answer) -> bool:
        """Return whether something said that ``answer`` is the last: a marker, a total reached, a page not full."""
        total = self.total(answer)
        return self.marked_end(answer) or not answer.full or (total is not None and answer.came >= total)

    def proof(self, answer: Answer) -> str:
        """Return in words how it is known that ``answer`` is the last."""
        total, size = self.total(answer), answer.page_size
        if total is not None:
            return f"total {total}, {answer.came} came"
        if self.marked_end(answer):
            return "the vendor marks the end"
        if answer.wire == 0:
            return "an empty page"
        return f"a page of {answer.wire} of {size}" if size else "no next page is named"

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the body carries the marker of the end itself, not just its absence."""
        del answer
        return False

    def back(self, answer: Answer, records: int) -> tuple[Position | None, int]:
        """Return the position at least ``records`` before that of ``answer``, and how many records that really is.

        ``None`` is the first page.
        """
        del records
        return answer.position, 0

    def overlapping(self, at: Position, answer: Answer) -> Position | None:
        """Return the position one record before ``at``, behind ``answer``; ``None`` where it would bring nothing new."""
        del at, answer
        return None

    def keeps(self) -> bool:
        """Return whether the first request's parameters go out with the next ones."""
        return self.keeps_params if self.params_on_next is None else self.params_on_next == "keep"

    def bare(self, request: Request) -> Request:
        """Return the request a position is put into."""
        return request if self.keeps() else replace(request, params=())


def number(value: Any) -> int | None:
    """Return a whole number that a vendor may write as text, ``None`` for anything else."""
    found = None if isinstance(value, bool) else paths.text_of(value)
    return int(found) if found is not None and found.isdigit() else None


def marker(position: Position | None) -> str:
    """Return one text per distinct position."""
    return _SORTED(position)
