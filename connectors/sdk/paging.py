"""What every paginator is given and gives: where to go on after a page.

A position is a small JSON mapping, stored between runs. A paginator stops only on what the vendor said (raw record
counts, totals, markers), never on what we kept of it, and says so when the end is not proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import httpx

    from connectors.sdk.body import Body

Position = Mapping[str, Any]
Params = tuple[tuple[str, str], ...]


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
        return replace(self, params=(*kept, (name, value)))


@dataclass(frozen=True)
class Answer:
    """What a paginator may look at: the parsed page, its raw count, and what came before it.

    ``wire`` counts the records as sent; ``seen`` counts those of earlier pages of the chain; ``page_size`` is what
    was asked for (``None`` when nothing was). ``url`` may hold secrets, ``where`` never does.
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

    @property
    def full(self) -> bool:
        """True when the page holds as many records as were asked for."""
        return self.page_size is not None and self.wire >= self.page_size


@dataclass(frozen=True)
class Paginator:
    """Base of all: ``apply`` puts a position into the first request, ``next`` finds the next one."""

    type: ClassVar[str] = ""
    keeps_params: ClassVar[bool] = True
    params_on_next: str | None = None

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

    def doubt(self, answer: Answer) -> str | None:
        """Return why the end after the last ``answer`` is not proven, ``None`` when it is."""
        if answer.null_list and not self.marked_end(answer):
            return "the record list is null and nothing else says that this is the end"
        return None

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the body carries the marker of the end itself, not just its absence."""
        del answer
        return False

    def keeps(self) -> bool:
        """Return whether the first request's parameters go out with the next ones."""
        return self.keeps_params if self.params_on_next is None else self.params_on_next == "keep"

    def bare(self, request: Request) -> Request:
        """Return the request a position is put into."""
        return request if self.keeps() else replace(request, params=())


def marker(position: Position | None) -> str:
    """Return one text per distinct position."""
    return json.dumps(position, sort_keys=True)
