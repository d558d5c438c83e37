"""Hazards of the wire: answers that are not what they say, that end early, or do not come."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from connectors.sdk.testing.simulator.message import Response, Wire

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.turn import Turn

_LOGIN = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"


class _Wire(Act):
    """Happens to one page."""

    def answered(self, turn: Turn, response: Response) -> Response:
        """Change the answer at its place."""
        if not self.here(turn):
            return response
        changed = self.broken(response)
        self.fire(turn, f"{len(response.body)} bytes")
        return changed

    def broken(self, response: Response) -> Response:
        """Return the broken answer."""
        raise NotImplementedError

    def _share(self, response: Response) -> int:
        return max(1, int(len(response.body) * float(self.given["share"])))


class Html200(_Wire):
    """A web page with status 200."""

    name = "html_200"

    def broken(self, response: Response) -> Response:
        """Show a login page."""
        return Response(200, _LOGIN, {"Content-Type": "text/html; charset=utf-8"}, response.stream)


class TruncatedJson(_Wire):
    """JSON that ends early, with the length of what came."""

    name = "truncated_json"
    options: ClassVar[Mapping[str, Any]] = {"share": 0.6}

    def broken(self, response: Response) -> Response:
        """Cut the text."""
        return replace(response, body=response.body[: self._share(response)])


class TruncatedGzip(_Wire):
    """A compressed body that ends early."""

    name = "truncated_gzip"
    options: ClassVar[Mapping[str, Any]] = {"share": 0.6}

    def broken(self, response: Response) -> Response:
        """Cut the compressed bytes."""
        packed = gzip.compress(response.body, mtime=0)
        cut = packed[: max(1, int(len(packed) * float(self.given["share"])))]
        return replace(response, body=cut, headers={**response.headers, "Content-Encoding": "gzip"})


class WrongContentLength(_Wire):
    """A length that is not the body's."""

    name = "wrong_content_length"
    options: ClassVar[Mapping[str, Any]] = {"by": 10}

    def broken(self, response: Response) -> Response:
        """State another length and close."""
        stated = str(len(response.body) + int(self.given["by"]))
        return replace(response, headers={**response.headers, "Content-Length": stated}, wire=Wire(ending="close"))


class ResetMidBody(_Wire):
    """The connection breaks."""

    name = "reset_mid_body"
    options: ClassVar[Mapping[str, Any]] = {"share": 0.5}

    def broken(self, response: Response) -> Response:
        """Reset in the middle."""
        return replace(response, wire=Wire(cut=self._share(response), ending="reset"))


class Stall(_Wire):
    """Nothing comes for a while."""

    name = "stall"
    options: ClassVar[Mapping[str, Any]] = {"seconds": 30.0, "share": 0.5}

    def broken(self, response: Response) -> Response:
        """Pause in the middle."""
        wire = Wire(ending="end", stall_at=self._share(response), stall_s=float(self.given["seconds"]))
        return replace(response, wire=wire)


ACTS = (Html200, TruncatedJson, TruncatedGzip, WrongContentLength, ResetMidBody, Stall)
