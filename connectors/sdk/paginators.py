"""The kinds of paging, as small frozen objects; ``build`` makes one from a manifest's checked block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urljoin

import httpx

from connectors.sdk import paths
from connectors.sdk.body import MISSING, Body
from connectors.sdk.errors import StopStream
from connectors.sdk.paging import PROBE, Answer, Paginator, Position, Request, number

if TYPE_CHECKING:
    from connectors.sdk.paths import Path

_EMPTY: Final = (None, "", MISSING)
_MORE: Final = tuple(
    paths.parse(text)
    for text in (
        "next",
        "next_page",
        "next_url",
        "links.next",
        "paging.next",
        "meta.next",
        "has_more",
        "hasMore",
        "more",
    )
)


def _stop(what: str, answer: Answer, do: str) -> StopStream:
    return StopStream(what, where=answer.where, do=do)


@dataclass(frozen=True)
class SinglePage(Paginator):
    """The stream is one answer."""

    type: ClassVar[str] = "single_page"

    def next(self, answer: Answer) -> Position | None:
        """Return None: there is only one page."""
        del answer
        return None

    def doubt(self, answer: Answer) -> str | None:
        """Doubt a full page, and an answer that names a next one."""
        if answer.full and not self.is_proven(answer):
            return f"a full page of {answer.wire} records under single_page: the paging of this stream is not declared"
        if _link(answer.headers, "next"):
            return "a Link header names a next page under single_page"
        signs = (path for path in _MORE if answer.body.get(path) not in (*_EMPTY, False, {}, []))
        sign = next(signs, None)
        return (
            f"'{paths.write(sign)}' in the answer speaks of more pages under single_page"
            if sign
            else super().doubt(answer)
        )


@dataclass(frozen=True)
class CursorPaginator(Paginator):
    """A token in the body leads to the next page, as a parameter or inside the request's body."""

    type: ClassVar[str] = "cursor"
    cursor_path: Path = ()
    cursor_param: str | None = None
    cursor_body_path: Path | None = None
    has_more_path: Path | None = None
    stop_when_missing: bool = True

    def apply(self, request: Request, position: Position) -> Request:
        """Set the cursor where the vendor wants it."""
        cursor = position["cursor"]
        request = self.bare(request)
        if self.cursor_param is not None:
            return request.with_param(self.cursor_param, paths.text_of(cursor) or "")
        return replace(request, body=_with(request.body or {}, self.cursor_body_path or (), cursor))

    def next(self, answer: Answer) -> Position | None:
        """Stop at a false ``has_more_path`` or without a cursor."""
        cursor = answer.body.get(self.cursor_path)
        more = answer.body.get(self.has_more_path) if self.has_more_path else MISSING
        if more is False:
            return None
        if cursor not in _EMPTY and not isinstance(cursor, bool | dict | list):
            return {"cursor": cursor}
        if more is True:
            raise _stop("the vendor says there is more but gives no cursor", answer, "check cursor_path")
        if cursor is MISSING and more is MISSING and not self.stop_when_missing:
            raise _stop("neither a cursor nor an end marker", answer, "check cursor_path and has_more_path")
        return None

    def doubt(self, answer: Answer) -> str | None:
        """Doubt an end that the declared ``has_more_path`` does not confirm."""
        return _unmarked(self.has_more_path, answer) or super().doubt(answer)

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        marks = (self.cursor_path, self.has_more_path or self.cursor_path)
        return any(answer.body.get(path) is not MISSING for path in marks)


@dataclass(frozen=True)
class HeaderLinkPaginator(Paginator):
    """The Link header names the next page."""

    type: ClassVar[str] = "header_link"
    keeps_params: ClassVar[bool] = False
    rel: str = "next"

    def apply(self, request: Request, position: Position) -> Request:
        """Go to the linked address."""
        return _to_url(self.bare(request), position)

    def next(self, answer: Answer) -> Position | None:
        """Stop when no link has the relation."""
        link = _link(answer.headers, self.rel)
        return {"url": urljoin(answer.url, link)} if link else None

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        return "link" in answer.headers


@dataclass(frozen=True)
class NextUrlPaginator(Paginator):
    """The body names the next page's address."""

    type: ClassVar[str] = "next_url"
    keeps_params: ClassVar[bool] = False
    next_url_path: Path = ()
    has_more_path: Path | None = None
    end_path: Path | None = None

    def apply(self, request: Request, position: Position) -> Request:
        """Go to the named address."""
        return _to_url(self.bare(request), position)

    def next(self, answer: Answer) -> Position | None:
        """Stop at the end marker, else without an address."""
        more = answer.body.get(self.has_more_path) if self.has_more_path else MISSING
        end = answer.body.get(self.end_path) if self.end_path else MISSING
        if more is False or end is True:
            return None
        url = answer.body.get(self.next_url_path)
        if isinstance(url, str) and url:
            return {"url": urljoin(answer.url, url)}
        if more is True or end is False:
            raise _stop("the vendor says there is more but names no next page", answer, "check next_url_path")
        return None

    def doubt(self, answer: Answer) -> str | None:
        """Doubt an end that no declared marker confirms."""
        if answer.body.get(self.next_url_path) is not MISSING:
            return super().doubt(answer)
        return _unmarked(self.end_path or self.has_more_path, answer) or super().doubt(answer)

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        marks = (self.next_url_path, self.has_more_path, self.end_path)
        return any(path is not None and answer.body.get(path) is not MISSING for path in marks)


@dataclass(frozen=True)
class PageNumberPaginator(Paginator):
    """Pages are numbered; totals end the chain when the vendor gives them, else an empty page.

    A vendor that filters a page after cutting it sends short pages in the middle; ``short_page: ends`` says it does not.
    """

    type: ClassVar[str] = "page_number"
    counts: ClassVar[bool] = True
    page_param: str = "page"
    base_page: int = 1
    total_pages_path: Path | None = None
    short_page: str = "probe"

    def first(self, request: Request, page_size: int | None) -> Request:
        """Ask for the base page by its number."""
        del page_size
        return request.with_param(self.page_param, str(self.base_page))

    def apply(self, request: Request, position: Position) -> Request:
        """Ask for one page by its number."""
        return self.bare(request).with_param(self.page_param, str(position["page"]))

    def next(self, answer: Answer) -> Position | None:
        """Stop at the last page or record by total, else at an empty page."""
        page = self.base_page if answer.position is None else int(answer.position["page"])
        pages = number(answer.body.get(self.total_pages_path)) if self.total_pages_path else None
        total = self.total(answer)
        if pages is not None:
            return {"page": page + 1} if page - self.base_page + 1 < pages else None
        if total is not None:
            return {"page": page + 1} if answer.distinct < total and answer.wire > 0 else None
        return _onwards({"page": page + 1}, answer, self.short_page)

    def back(self, answer: Answer, records: int) -> tuple[Position | None, int]:
        """Go back by whole pages."""
        page, size = (
            (self.base_page if answer.position is None else int(answer.position["page"])),
            answer.page_size or 1,
        )
        pages = min(-(-records // size), page - self.base_page)
        return {"page": page - pages} if page - pages > self.base_page else None, pages * size

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        pages = self.total_pages_path is not None and answer.body.get(self.total_pages_path) is not MISSING
        return pages or self.total(answer) is not None


@dataclass(frozen=True)
class OffsetPaginator(Paginator):
    """Records are counted; the next offset is what was really sent so far, so a clamped page loses nothing."""

    type: ClassVar[str] = "offset"
    counts: ClassVar[bool] = True
    offset_param: str = "offset"
    limit_param: str | None = None
    has_more_path: Path | None = None
    next_offset_path: Path | None = None
    short_page: str = "probe"

    def first(self, request: Request, page_size: int | None) -> Request:
        """Ask from the start, with the limit when its parameter is declared."""
        if self.limit_param and page_size and all(name != self.limit_param for name, _ in request.params):
            request = request.with_param(self.limit_param, str(page_size))
        return request

    def apply(self, request: Request, position: Position) -> Request:
        """Ask from an offset."""
        kept = self.bare(request)
        if not self.keeps() and self.limit_param:
            kept = replace(kept, params=tuple(pair for pair in request.params if pair[0] == self.limit_param))
        return kept.with_param(self.offset_param, str(position["offset"]))

    def next(self, answer: Answer) -> Position | None:
        """Stop by marker, by total, else at an empty page."""
        offset = 0 if answer.position is None else int(answer.position["offset"])
        after = offset + (answer.wire or answer.page_size or 0)
        more = answer.body.get(self.has_more_path) if self.has_more_path else MISSING
        total = self.total(answer)
        if self.next_offset_path is not None:
            named = number(answer.body.get(self.next_offset_path))
            if named is None and more is True:
                raise _stop("the vendor says there is more but names no offset", answer, "check next_offset_path")
            return None if named is None or more is False else {"offset": named}
        if isinstance(more, bool):
            return {"offset": after} if more else None
        if total is not None:
            return {"offset": after} if after < total and (answer.wire or answer.page_size) else None
        return _onwards({"offset": after}, answer, self.short_page)

    def back(self, answer: Answer, records: int) -> tuple[Position | None, int]:
        """Go back by as many records."""
        offset = 0 if answer.position is None else int(answer.position["offset"])
        records = min(records, offset)
        return {"offset": offset - records} if offset > records else None, records

    def overlapping(self, at: Position, answer: Answer) -> Position | None:
        """Begin one record earlier; a vendor that refuses that may have none left there, or count by pages."""
        return {"offset": int(at["offset"]) - 1, PROBE: True} if answer.wire > 1 else None

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        marks = (self.has_more_path, self.next_offset_path)
        marked = any(path is not None and answer.body.get(path) is not MISSING for path in marks)
        return marked or self.total(answer) is not None


@dataclass(frozen=True)
class LastRecordKeyPaginator(Paginator):
    """The last record's key leads to the next page; without a marker the chain ends at an empty page."""

    type: ClassVar[str] = "last_record_key"
    param: str = "starting_after"
    path: Path = ("id",)
    has_more_path: Path | None = None

    def apply(self, request: Request, position: Position) -> Request:
        """Ask for what follows a record."""
        return self.bare(request).with_param(self.param, str(position["key"]))

    def next(self, answer: Answer) -> Position | None:
        """Stop at a false marker, or, without a marker, at an empty page."""
        more = answer.body.get(self.has_more_path) if self.has_more_path else MISSING
        if more is False or (answer.wire == 0 and more is not True):
            return None
        key = paths.text_of(Body(answer.last or b"null").get(self.path))
        if key is None or key == "":
            do = f"check that '{paths.write(self.path)}' is in every record"
            raise _stop("there is more but the last record has no key", answer, do)
        return {"key": key}

    def marked_end(self, answer: Answer) -> bool:
        """Return whether the end is said, not only left out."""
        return self.has_more_path is not None and answer.body.get(self.has_more_path) is not MISSING


KINDS: Final[Mapping[str, type[Paginator]]] = {
    kind.type: kind
    for kind in (
        SinglePage,
        CursorPaginator,
        HeaderLinkPaginator,
        NextUrlPaginator,
        PageNumberPaginator,
        OffsetPaginator,
        LastRecordKeyPaginator,
    )
}


def build(spec: Mapping[str, Any]) -> Paginator:
    """Return the paginator of a manifest's checked ``paginator:`` block."""
    options: dict[str, Any] = {
        key: paths.parse(value) if key.endswith("path") else value for key, value in spec.items() if key != "type"
    }
    return KINDS[spec["type"]](**options)


def _to_url(request: Request, position: Position) -> Request:
    """Return ``request`` sent to another address; kept parameters never override the address's own."""
    url = httpx.URL(str(position["url"]))
    kept = tuple(pair for pair in request.params if pair[0] not in url.params)
    return replace(request, url=str(url), params=kept, followed=True)


def _link(headers: httpx.Headers, rel: str) -> str | None:
    response = httpx.Response(200, headers={"link": headers.get("link", "")})
    return response.links.get(rel, {}).get("url")


def _onwards(position: Position, answer: Answer, short_page: str) -> Position | None:
    """Return the next position where nothing but the page itself tells the end; a short page may be followed by more."""
    if answer.wire == 0:
        return None
    if answer.full or not answer.page_size:
        return position
    return None if short_page == "ends" else {**position, PROBE: True}


def _unmarked(path: Path | None, answer: Answer) -> str | None:
    """Doubt an answer that lacks the marker the manifest promises."""
    if path is None or answer.body.get(path) is not MISSING:
        return None
    return f"the answer lacks '{paths.write(path)}', which says whether there is more"


def _with(body: Any, path: Path, value: Any) -> Any:
    """Return ``body`` with ``value`` set at ``path``, sharing what is beside it."""
    if not path:
        return value
    inner = body.get(path[0]) if isinstance(body, Mapping) else None
    return {**(body or {}), path[0]: _with(inner or {}, path[1:], value)}
