"""Who is let in, and the token endpoints of OAuth 2."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

from .message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .shape import Auth


class Doorkeeper:
    """Checks credentials for one vendor and issues its OAuth tokens; ``clock`` is seconds that only grow.

    With ``rotates`` each refresh token is good for one use; with ``revokes_family`` a second use ends all that came
    of it, as the specification asks of vendors. ``uses`` keeps every refresh: issued, reused, unknown.
    """

    def __init__(self, auth: Auth, clock: Callable[[], float]) -> None:
        self._auth, self._clock = auth, clock
        self.terms = dict(auth.oauth or {})
        self.uses: list[str] = []
        self._issued: dict[str, float] = {}
        self._revoked: set[str] = set()
        self._used: set[str] = set()
        self._refresh: set[str] = (
            {auth.oauth["refresh_token"]} if auth.oauth and "refresh_token" in auth.oauth else set()
        )

    def lets_in(self, request: Request) -> bool:
        """Return whether the request carries one of the vendor's credentials."""
        if self._revoked and not self._revoked.isdisjoint(self.presented(request)):
            return False
        return any(_CHECKS[way["type"]](way, request, self._live) for way in self._auth.accept)

    def presented(self, request: Request) -> tuple[str, ...]:
        """Return the credentials that a request carries, right or wrong."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        found = [token or kind]
        for way in self._auth.accept:
            if way["type"] == "header":
                found.append(request.headers.get(way["name"].lower(), "").removeprefix(way.get("prefix", "")))
            elif way["type"] == "query":
                found.append(request.param(way["name"]) or "")
        return tuple(dict.fromkeys(one for one in found if one))

    def revoke(self, tokens: Iterable[str]) -> None:
        """Accept these credentials no more."""
        self._revoked.update(tokens)

    def token(self, request: Request) -> Response | None:
        """Return the answer of the token endpoint; null if the request is for another path."""
        oauth = self.terms
        if not oauth or request.method != "POST" or request.path != oauth["path"]:
            return None
        form = _fields(request)
        if (form.get("client_id"), form.get("client_secret")) != (oauth["client_id"], oauth["client_secret"]):
            return _refusal("invalid_client")
        grant = form.get("grant_type")
        if grant not in oauth["grants"]:
            return _refusal("unsupported_grant_type")
        if grant == "refresh_token" and form.get("refresh_token") not in self._refresh:
            return self._refused(form.get("refresh_token", ""))
        return self._issue(oauth, form.get("refresh_token"))

    def _refused(self, refresh: str) -> Response:
        self.uses.append("reused" if refresh in self._used else "unknown")
        if refresh in self._used and self.terms.get("revokes_family"):
            self._refresh.clear()
            self._issued.clear()
        return _refusal("invalid_grant")

    def _issue(self, oauth: Mapping[str, Any], refresh: str | None) -> Response:
        seconds = oauth.get("expires_in", 3600)
        access = f"demo-access-{secrets.token_hex(12)}"
        self._issued[access] = self._clock() + seconds
        answer = {"access_token": access, "token_type": "bearer", "expires_in": seconds}
        if refresh is not None:
            self.uses.append("issued")
            if oauth.get("rotates"):
                self._refresh.discard(refresh)
                self._used.add(refresh)
                refresh = f"demo-refresh-{secrets.token_hex(12)}"
                self._refresh.add(refresh)
            answer["refresh_token"] = refresh
        return Response(200, json.dumps(answer).encode())

    def _live(self, token: str) -> bool:
        return self._issued.get(token, 0.0) > self._clock()


def _refusal(error: str) -> Response:
    return Response(400, json.dumps({"error": error, "error_description": f"{error} (simulator)"}).encode())


def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a token request: form or JSON, the client's own also from basic authentication."""
    sent = request.headers.get("content-type", "")
    fields = {k: str(v) for k, v in request.body.items()} if "json" in sent else dict(request.form)
    name, password = _basic(request)
    return {**fields, "client_id": name, "client_secret": password} if name else fields


def _basic(request: Request) -> tuple[str, str]:
    kind, _, code = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(code).decode().partition(":")
    except ValueError:
        return "", ""
    return name, password


def _bearer_ok(way: Mapping[str, Any], request: Request, live: Callable[[str], bool]) -> bool:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and (token in way["tokens"] or live(token))


def _header_ok(way: Mapping[str, Any], request: Request, live: Callable[[str], bool]) -> bool:
    sent = request.headers.get(way["name"].lower(), "").removeprefix(way.get("prefix", ""))
    return sent in way["values"] or live(sent)


def _query_ok(way: Mapping[str, Any], request: Request, _live: Callable[[str], bool]) -> bool:
    return request.param(way["name"]) in way["values"]


def _basic_ok(way: Mapping[str, Any], request: Request, _live: Callable[[str], bool]) -> bool:
    name, password = _basic(request)
    return bool(name) and way["users"].get(name) == password


def _any_ok(_way: Mapping[str, Any], _request: Request, _live: Callable[[str], bool]) -> bool:
    return True


_CHECKS: dict[str, Callable[[Mapping[str, Any], Request, Callable[[str], bool]], bool]] = {
    "any": _any_ok,
    "bearer": _bearer_ok,
    "header": _header_ok,
    "query": _query_ok,
    "basic": _basic_ok,
}
