"""Hazards of tokens: they end in the middle, and some are good for one use only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connectors.sdk.testing.simulator.message import answer_with

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.hostile import HostileVendor
    from connectors.sdk.testing.simulator.message import Response
    from connectors.sdk.testing.simulator.turn import Turn

_GOOD: Final = 200


class ExpiredToken(Act):
    """The access token is good no more."""

    name = "expired_token"

    @classmethod
    def applies(cls, stage: HostileVendor, _stream: str) -> bool:
        """Return whether there is a credential to refuse."""
        return bool(stage.manifest.auth)

    def answered(self, turn: Turn, response: Response) -> Response:
        """Refuse what was presented, from now on."""
        if not self.here(turn):
            return response
        door = self.stage.vendor.door
        door.revoke(door.presented(turn.request))
        self.fire(turn, "401, and the credential is refused from now on")
        return answer_with(self.stage.vendor.shape.auth.refused)


class RotatingRefresh(Act):
    """A refresh token works once; a second use ends the whole family."""

    name = "rotating_refresh"
    page: ClassVar[int | None] = None
    times = 0
    options: ClassVar[Mapping[str, Any]] = {"expires_in": 60}

    @classmethod
    def applies(cls, stage: HostileVendor, _stream: str) -> bool:
        """Return whether there is a refresh token."""
        return "refresh_token" in stage.vendor.door.terms

    def prepare(self) -> None:
        """Change the terms."""
        terms = {"rotates": True, "revokes_family": True, "expires_in": self.given["expires_in"]}
        self.stage.vendor.door.terms.update(terms)

    def answered(self, turn: Turn, response: Response) -> Response:
        """Note each use."""
        uses = self.stage.vendor.door.uses
        if turn.stream == "token" and uses:
            self.fire(turn, uses[-1])
            return replace(response, stream="token")
        return response


ACTS = (ExpiredToken, RotatingRefresh)
