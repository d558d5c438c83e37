"""Notices of what will change: headers by which a vendor says that something is about to go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Act

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.testing.simulator.message import Response
    from connectors.sdk.testing.simulator.turn import Turn


class _Notice(Act):
    """Stands on every answer of its stream."""

    page: ClassVar[int | None] = None
    times = 0

    def answered(self, turn: Turn, response: Response) -> Response:
        """Add headers."""
        if not self.mine(turn):
            return response
        told = self.told()
        self.fire(turn, "; ".join(f"{name}: {value}" for name, value in told.items()))
        both = {name: f"{response.headers[name]}, {told[name]}" for name in told if name in response.headers}
        return replace(response, headers={**response.headers, **told, **both})

    def told(self) -> dict[str, str]:
        """Return the headers."""
        raise NotImplementedError


class Sunset(_Notice):
    """The endpoint will be switched off (RFC 8594)."""

    name = "sunset"
    options: ClassVar[Mapping[str, Any]] = {"days": 30}

    def told(self) -> dict[str, str]:
        """Return when, and where to read about it."""
        at = self.stage.clock.now() + timedelta(days=self.given["days"])
        return {"Sunset": format_datetime(at, usegmt=True), "Link": '<https://vendor.example/sunset>; rel="sunset"'}


class Deprecation(_Notice):
    """The endpoint should not be used any more (RFC 9745)."""

    name = "deprecation"
    options: ClassVar[Mapping[str, Any]] = {"days": -10}

    def told(self) -> dict[str, str]:
        """Return since when."""
        at = self.stage.clock.now() + timedelta(days=self.given["days"])
        return {"Deprecation": f"@{int(at.timestamp())}"}


class VersionWarning(_Notice):
    """The version of the API that was asked for is old."""

    name = "version_warning"
    options: ClassVar[Mapping[str, Any]] = {"version": "2024-01"}

    def told(self) -> dict[str, str]:
        """Return the warning in both usual forms."""
        text = f"API version {self.given['version']} is no longer supported"
        return {"Warning": f'299 - "{text}"', "X-API-Warn": text}


ACTS = (Sunset, Deprecation, VersionWarning)
