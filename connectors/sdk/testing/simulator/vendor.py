"""One vendor: from a request to the answer that its real API would give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .auth import Doorkeeper
from .limits import Window
from .message import BadRequestError, Request, Response, answer_with
from .pages import page_of, restored
from .query import conditions, orders, projection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .holdings import Held, Holdings
    from .shape import Endpoint, Shape


class Vendor:
    """Answers requests for one shape out of what is held; ``limited`` enforces the vendor's rate limit."""

    def __init__(self, shape: Shape, holdings: Holdings, clock: Callable[[], float], *, limited: bool) -> None:
        self.shape, self.holdings = shape, holdings
        self._door = Doorkeeper(shape.auth, clock)
        self._window = Window(shape.limit, clock) if shape.limit and limited else None

    def answer(self, request: Request) -> Response:
        """Return the answer: token, refusal, limit, records or error, in this order."""
        token = self._door.token(request)
        if token is not None:
            return token
        if not self._door.lets_in(request):
            return answer_with(self.shape.auth.refused)
        refusal = self._window.refusal() if self._window else None
        return refusal or self._read(request)

    def _read(self, request: Request) -> Response:
        try:
            self._check_headers(request)
            for endpoint in self.shape.endpoints:
                match = endpoint.pattern.match(request.path)
                if match and endpoint.method == request.method:
                    return self._endpoint(endpoint, request, match.groupdict())
        except BadRequestError as error:
            return answer_with(self.shape.errors["bad_request"], why=str(error))
        return answer_with(self.shape.errors["not_found"], path=request.path)

    def _check_headers(self, request: Request) -> None:
        missing = [name for name in self.shape.needs_headers if name not in request.headers]
        if missing:
            message = f"missing header: {', '.join(missing)}"
            raise BadRequestError(message)

    def _endpoint(self, endpoint: Endpoint, request: Request, variables: Mapping[str, str]) -> Response:
        if endpoint.item is not None:
            record = self.holdings.records(endpoint.stream).get(variables[endpoint.item])
            if record is None:
                return answer_with(self.shape.errors["not_found"], path=request.path)
            return self._respond(endpoint, request, [record], {})
        request = restored(endpoint, request)
        parent = variables[endpoint.parent] if endpoint.parent else None
        groups, order = conditions(endpoint, request), orders(endpoint, request)
        result = self.holdings.result(endpoint.stream, parent, groups, order)
        page = page_of(endpoint, request, result)
        if endpoint.cap is not None and page.end > endpoint.cap:
            message = f"a search gives at most {endpoint.cap} results"
            raise BadRequestError(message)
        return self._respond(endpoint, request, result.records[page.start : page.end], page.words)

    def _respond(
        self, endpoint: Endpoint, request: Request, records: Sequence[Held], words: Mapping[str, Any]
    ) -> Response:
        show = projection(endpoint, request)
        texts = [record.show(show).decode() for record in records]
        all_words = {**words, "self_url": f"{request.base}{request.path}"}
        body = _filled(endpoint.answer, texts, all_words)
        headers = {**self.shape.headers, **_headers(endpoint.headers, all_words)}
        return Response(200, body.encode(), headers, endpoint.stream, len(records))


def _headers(spec: Mapping[str, str], words: Mapping[str, Any]) -> dict[str, str]:
    """Return the endpoint's headers; one with a null word is not sent."""
    sent = {}
    for name, text in spec.items():
        used = [word for word in words if f"{{{word}}}" in text]
        if all(words[word] is not None for word in used):
            for word in used:
                text = text.replace(f"{{{word}}}", str(words[word]))  # noqa: PLW2901
            sent[name] = text
    return sent


def _filled(tree: Any, records: Sequence[str], words: Mapping[str, Any]) -> str:
    """Return the answer's JSON text: ``$records``, ``$record`` and ``$word`` filled in, empty ``key?`` left out."""
    if tree == "$records":
        return f"[{','.join(records)}]"
    if tree == "$record":
        return records[0]
    if isinstance(tree, str) and tree.startswith("$"):
        return json.dumps(words.get(tree[1:]))
    if isinstance(tree, dict):
        kept = {k.rstrip("?"): v for k, v in tree.items() if not (k.endswith("?") and _is_empty(v, words))}
        return f"{{{','.join(f'{json.dumps(k)}:{_filled(v, records, words)}' for k, v in kept.items())}}}"
    return json.dumps(tree, ensure_ascii=False)


def _is_empty(tree: Any, words: Mapping[str, Any]) -> bool:
    """Return whether a member of an answer has nothing to say: all its words are null."""
    if isinstance(tree, dict):
        return all(_is_empty(value, words) for value in tree.values())
    return isinstance(tree, str) and tree.startswith("$") and words.get(tree[1:]) is None
