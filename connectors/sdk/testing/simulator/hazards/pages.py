"""Hazards of paging: pages that are short, empty, doubled, without a way on, or lead in circles or elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from connectors.sdk.testing.simulator.holdings import Result
from connectors.sdk.testing.simulator.message import Response
from connectors.sdk.testing.simulator.pages import onward
from connectors.sdk.testing.simulator.turn import ABSENT

from .base import NUMBERED, TOKEN_KINDS, Act, paging_of, says_more

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.turn import Leaf, Turn

    from .base import Hazard

_MARKERS: Final = ("next", "next_url", "more", "end", "total", "pages")


class _Paged(Act):
    """Needs a list of several pages."""

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether the stream has pages at all."""
        return paging_of(stage, stream) != "single_page"


class PageFilteredShort(_Paged):
    """The vendor filters after cutting: the page is short although there is more."""

    name = "page_filtered_short"
    page: ClassVar[int | None] = 1
    times = 0
    options: ClassVar[Mapping[str, Any]] = {"keep": 3}

    def __init__(self, hazard: Hazard, stage: HostileVendor) -> None:
        super().__init__(hazard, stage)
        self._shown: set[tuple[str | None, str]] = set()

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Note what has been shown."""
        self._shown.update((turn.stream, held.key) for held in leaf.held)

    def before(self, turn: Turn) -> bool:
        """Hide what is beyond ``keep`` for good, before anybody has seen it."""
        if not self.here(turn) or self.firings or turn.result is None:
            return False
        page = turn.result.records[turn.start : turn.start + turn.size]
        hidden = [held for held in page if (turn.stream, held.key) not in self._shown][self.given["keep"] :]
        for held in hidden:
            held.hidden = True
        if hidden:
            self.fire(turn, f"{len(hidden)} records of the page are never shown")
        return bool(hidden)


class EmptyPage(PageFilteredShort):
    """A page in the middle of which nothing is left."""

    name = "empty_page"
    page: ClassVar[int | None] = 2
    options: ClassVar[Mapping[str, Any]] = {"keep": 0}

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether an empty page is anything but the end."""
        kind = paging_of(stage, stream)
        return kind in TOKEN_KINDS or (kind in NUMBERED and says_more(stage, stream))


class PageOfOne(PageFilteredShort):
    """One record at a time."""

    name = "page_of_one"
    page: ClassVar[int | None] = 2
    options: ClassVar[Mapping[str, Any]] = {"keep": 1}

    def before(self, turn: Turn) -> bool:
        """Numbered pages cannot be split: the rest of such a page is never shown."""
        numbered = turn.endpoint is not None and (turn.endpoint.page or {}).get("kind") == "page"
        return super().before(turn) if numbered else False

    def most(self, turn: Turn) -> int | None:
        """Serve one record."""
        numbered = turn.endpoint is not None and (turn.endpoint.page or {}).get("kind") == "page"
        if numbered or not self.here(turn):
            return None
        self.fire(turn, "one record")
        return 1


class DuplicatePage(_Paged):
    """The page before comes once more."""

    name = "duplicate_page"

    def result(self, turn: Turn, result: Result) -> Result:
        """Count the page before twice where pages are counted."""
        size, kind = self._size(turn), self._kind(turn)
        if not self.mine(turn) or kind not in ("page", "offset") or not size:
            return result
        first, last = (self._before() - 1) * size, self._before() * size
        doubled = [*result.records[:last], *result.records[first:last], *result.records[last:]]
        keys = [*result.keys[:last], *result.keys[first:last], *result.keys[last:]]
        return Result(doubled, keys)

    def _before(self) -> int:
        return max(1, (self.at_page or 2) - 1)

    def _size(self, turn: Turn) -> int:
        return self.stage.lots[turn.stream].page_size if turn.stream in self.stage.lots else 0

    def _kind(self, turn: Turn) -> str | None:
        return (turn.endpoint.page or {}).get("kind") if turn.endpoint else None

    def start(self, turn: Turn, start: int, size: int) -> int | None:
        """Serve the page before again, once, where a token leads on."""
        if not self.here(turn):
            return None
        self.fire(turn, "the page before again")
        return max(0, start - size) if self._kind(turn) == "token" else None


class NullList(_Paged):
    """Null instead of a list, and nothing else."""

    name = "null_list"

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Take everything away."""
        if self.here(turn):
            leaf.null, leaf.held, leaf.texts = True, [], []
            leaf.words.update(dict.fromkeys(_MARKERS, ABSENT))
            self.fire(turn, "null instead of the list")


class NullEnd(_Paged):
    """The list after the last record is null."""

    name = "null_end"
    page: ClassVar[int | None] = None
    times = 0

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether anybody asks for what follows the last record."""
        kind = paging_of(stage, stream)
        return kind in TOKEN_KINDS or (kind == "last_record_key" and not says_more(stage, stream))

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Lead beyond the last record, and give null there."""
        if not self.mine(turn):
            return
        total = len(leaf.result.records)
        if leaf.start >= total:
            leaf.null = True
            self.fire(turn, "null after the last record")
        elif leaf.end >= total and turn.endpoint is not None and "fact" not in (turn.endpoint.page or {}):
            leaf.words.update(onward(turn.endpoint, turn.request, leaf.result, leaf.end), more=True, end=False)


class MissingNext(_Paged):
    """A full page that does not say how to go on."""

    name = "missing_next"
    page: ClassVar[int | None] = 1

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether there is a marker to leave out."""
        return paging_of(stage, stream) in TOKEN_KINDS or says_more(stage, stream)

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Leave all markers out."""
        if self.here(turn):
            leaf.words.update(dict.fromkeys(_MARKERS, ABSENT))
            self.fire(turn, f"a page of {len(leaf.texts)} without a marker")


class ForeignNext(_Paged):
    """The way on leads to somebody else."""

    name = "foreign_next"
    page: ClassVar[int | None] = 1
    options: ClassVar[Mapping[str, Any]] = {"origin": "https://thief.example"}

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether the vendor names addresses."""
        return paging_of(stage, stream) in ("next_url", "header_link")

    def leaf(self, turn: Turn, leaf: Leaf) -> None:
        """Put another origin into the address."""
        url = leaf.words.get("next_url")
        if self.here(turn) and isinstance(url, str):
            parts = urlsplit(url)
            leaf.words["next_url"] = f"{self.stage.foreign_origin(self.given['origin'])}{parts.path}?{parts.query}"
            self.fire(turn, leaf.words["next_url"])


class ForeignRedirect(Act):
    """The vendor sends its reader to somebody else."""

    name = "foreign_redirect"
    options: ClassVar[Mapping[str, Any]] = {"origin": "https://thief.example"}

    @classmethod
    def applies(cls, stage: HostileVendor, stream: str) -> bool:
        """Return whether a redirect is followed at all."""
        return stage.manifest.streams[stream].request.method == "GET" and paging_of(stage, stream) != "single_page"

    def answered(self, turn: Turn, response: Response) -> Response:
        """Answer 302."""
        if not self.here(turn):
            return response
        target = f"{self.stage.foreign_origin(self.given['origin'])}{turn.request.path}"
        self.fire(turn, target)
        return replace(response, status=302, body=b"", headers={**response.headers, "Location": target}, records=0)


class PageLoop(_Paged):
    """What follows a page is an earlier one, for ever."""

    name = "page_loop"
    times = 0
    options: ClassVar[Mapping[str, Any]] = {"to": 1}

    def start(self, turn: Turn, _start: int, size: int) -> int | None:
        """Go back."""
        if not self.mine(turn) or turn.page <= (self.at_page or 0):
            return None
        self.fire(turn, f"page {self.given['to']} again")
        return int((self.given["to"] - 1) * size)


ACTS = (
    PageFilteredShort, PageOfOne, EmptyPage, DuplicatePage, NullList, NullEnd, MissingNext, ForeignNext, ForeignRedirect,
    PageLoop,
)  # fmt: skip
