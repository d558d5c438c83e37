"""One vendor: from a request to the answer that its real API would give."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .auth import Doorkeeper
from .limits import Window
from .message import BadRequestError, Request, Response, answer_with
from .pages import page_of, restored
from .query import conditions, orders, projection
from .turn import ABSENT, Leaf, NoHazards, Turn, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .holdings import Held, Holdings, Result
    from .pages import Page
    from .query import Condition, Show
    from .shape import Endpoint, Shape
    from .turn import Hazards

_GOOD: Final = 200


class Vendor:
    """Answers requests for one shape out of what is held; ``limited`` enforces the vendor's rate limit.

    ``shows`` remembers, by stream, in which ways records were shown.
    """

    def __init__(
        self,
        shape: Shape,
        holdings: Holdings,
        clock: Callable[[], float],
        *,
        limited: bool,
        hazards: Hazards | None = None,
    ) -> None:
        self.shape, self.holdings = shape, holdings
        self.door = Doorkeeper(shape.auth, clock)
        self.shows: dict[str, dict[str, Show]] = {}
        self._hazards = hazards or NoHazards()
        self._window = Window(shape.limit, clock) if shape.limit and limited else None

    def answer(self, request: Request, turn: Turn | None = None) -> Response:
        """Return the answer: token, refusal, limit, records or error, in this order; ``turn`` learns what it was."""
        turn = turn or Turn(request)
        return self._hazards.answered(turn, self._plain(request, turn))

    def _plain(self, request: Request, turn: Turn) -> Response:
        token = self.door.token(request)
        if token is not None:
            turn.stream = "token"
            return token
        if not self.door.lets_in(request):
            return answer_with(self.shape.auth.refused)
        refusal = self._window.refusal() if self._window else None
        return refusal or self._read(request, turn)

    def _read(self, request: Request, turn: Turn) -> Response:
        try:
            self._check_headers(request)
            found = self._endpoint(request)
            if found is not None:
                endpoint, asked, variables = found
                turn.endpoint, turn.stream = endpoint, endpoint.stream
                return self._answer(endpoint, asked, variables, turn)
        except BadRequestError as error:
            return answer_with(self.shape.errors["bad_request"], why=str(error))
        return answer_with(self.shape.errors["not_found"], path=request.path)

    def _check_headers(self, request: Request) -> None:
        missing = [name for name in self.shape.needs_headers if name not in request.headers]
        if missing:
            message = f"missing header: {', '.join(missing)}"
            raise BadRequestError(message)

    def _endpoint(self, request: Request) -> tuple[Endpoint, Request, dict[str, str]] | None:
        """Return the endpoint meant: the first of the path, or of several the one whose way of asking fits best."""
        best, found = -1, None
        for endpoint in self.shape.endpoints:
            match = endpoint.pattern.match(request.path) if endpoint.method == request.method else None
            if match is None:
                continue
            asked = restored(endpoint, request)
            if endpoint.asks is None:
                return endpoint, asked, match.groupdict()
            score = endpoint.asks.score(asked)
            if score is not None and score > best:
                best, found = score, (endpoint, asked, match.groupdict())
        return found

    def _answer(self, endpoint: Endpoint, request: Request, variables: Mapping[str, str], turn: Turn) -> Response:
        if endpoint.item is not None:
            record = self.holdings.records(endpoint.stream).get(variables[endpoint.item])
            return self._item(endpoint, request, record)
        parent = variables[endpoint.parent] if endpoint.parent else None
        groups, order = conditions(endpoint, request), orders(endpoint, request)
        if endpoint.asks is not None:
            groups = [[*group, *endpoint.asks.conditions(request, variables)] for group in groups]
        if endpoint.one:
            found = self.holdings.result(endpoint.stream, parent, groups, order).records
            return self._item(endpoint, request, next(iter(shown(found)), None))
        result, page = self._cut(endpoint, request, (parent, groups, order), turn)
        if endpoint.cap is not None and page.end > endpoint.cap:
            message = f"a search gives at most {endpoint.cap} results"
            raise BadRequestError(message)
        return self._page(endpoint, request, result, page, turn)

    def _item(self, endpoint: Endpoint, request: Request, record: Held | None) -> Response:
        if record is None or record.hidden:
            return answer_with(self.shape.errors["not_found"], path=request.path)
        return self._respond(endpoint, request, self._texts(endpoint, request, [record]), {}, null=False)

    def _cut(
        self,
        endpoint: Endpoint,
        request: Request,
        wanted: tuple[str | None, Sequence[Sequence[Condition]], Sequence[tuple[str, bool]]],
        turn: Turn,
    ) -> tuple[Result, Page]:
        """Return the list asked for and the page of it, after whatever the hazards do to both."""
        result = self._hazards.result(turn, self.holdings.result(endpoint.stream, *wanted))
        page = page_of(endpoint, request, result)
        turn.page, turn.start, turn.size, turn.result = page.number, page.start, page.size, result
        if self._hazards.before(turn):
            result = self._hazards.result(turn, self.holdings.result(endpoint.stream, *wanted))
            page = page_of(endpoint, request, result)
        start, most = self._hazards.start(turn, page.start, page.size), self._hazards.most(turn)
        if start is not None or most is not None:
            page = page_of(endpoint, request, result, most, start)
        return result, page

    def _page(self, endpoint: Endpoint, request: Request, result: Result, page: Page, turn: Turn) -> Response:
        held = shown(result.records[page.start : page.end])
        texts = self._texts(endpoint, request, held)
        leaf = Leaf(held, texts, dict(page.words), page.start, page.end, page.size, result)
        self._hazards.leaf(turn, leaf)
        turn.records = len(leaf.texts)
        return self._respond(endpoint, request, leaf.texts, leaf.words, null=leaf.null)

    def _texts(self, endpoint: Endpoint, request: Request, held: Sequence[Held]) -> list[str]:
        show = projection(endpoint, request)
        if show is not None:
            self.shows.setdefault(endpoint.stream, {})[show[0]] = show[1]
        return [self._hazards.text(endpoint.stream, one, one.show(show).decode()) for one in held]

    def _respond(
        self, endpoint: Endpoint, request: Request, texts: Sequence[str], words: Mapping[str, Any], *, null: bool
    ) -> Response:
        all_words = {**words, "self_url": f"{request.base}{request.path}"}
        body = _filled(endpoint.answer, None if null else texts, all_words)
        headers = {**self.shape.headers, **_headers(endpoint.headers, all_words)}
        return Response(_GOOD, body.encode(errors="surrogatepass"), headers, endpoint.stream, len(texts))

    def refuse_with(self, name: str, status: int | None = None) -> Response:
        """Return one of the vendor's written errors, with another status if wanted."""
        answer = self.shape.limit.answer if name == "limit" and self.shape.limit else self.shape.errors["server"]
        response = answer_with(answer)
        return response if status is None else replace(response, status=status)


def _headers(spec: Mapping[str, str], words: Mapping[str, Any]) -> dict[str, str]:
    """Return the endpoint's headers; one with a null word is not sent."""
    sent = {}
    for name, text in spec.items():
        used = [word for word in words if f"{{{word}}}" in text]
        if all(words[word] is not None and words[word] is not ABSENT for word in used):
            for word in used:
                text = text.replace(f"{{{word}}}", str(words[word]))  # noqa: PLW2901
            sent[name] = text
    return sent


def _filled(tree: Any, records: Sequence[str] | None, words: Mapping[str, Any]) -> str:
    """Return the answer's JSON text: ``$records``, ``$record`` and ``$word`` filled in, empty ``key?`` left out."""
    if tree == "$records":
        return "null" if records is None else f"[{','.join(records)}]"
    if tree == "$record":
        return records[0] if records else "null"
    if isinstance(tree, str) and tree.startswith("$"):
        return json.dumps(words.get(tree[1:]))
    if isinstance(tree, dict):
        kept = {k.rstrip("?"): v for k, v in tree.items() if not _left_out(k, v, words)}
        return f"{{{','.join(f'{json.dumps(k)}:{_filled(v, records, words)}' for k, v in kept.items())}}}"
    if isinstance(tree, list) and _has_words(tree):
        return f"[{','.join(_filled(inner, records, words) for inner in tree)}]"
    return json.dumps(tree, ensure_ascii=False)


def _has_words(tree: Any) -> bool:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return any(_has_words(one) for one in inner) or (isinstance(tree, str) and tree.startswith("$"))


def _left_out(key: str, tree: Any, words: Mapping[str, Any]) -> bool:
    if isinstance(tree, str) and tree.startswith("$") and words.get(tree[1:]) is ABSENT:
        return True
    return key.endswith("?") and _is_empty(tree, words)


def _is_empty(tree: Any, words: Mapping[str, Any]) -> bool:
    """Return whether a member of an answer has nothing to say: all its words are null."""
    if isinstance(tree, dict):
        return all(_is_empty(value, words) for value in tree.values())
    return isinstance(tree, str) and tree.startswith("$") and words.get(tree[1:]) is None
