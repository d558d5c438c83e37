"""The vendor twin as a process: recorded payloads of real vendors, with an oracle that says what it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

VENDORS = ("hubspot", "zendesk", "shopify", "klaviyo", "typeform")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Twin:
    """A running twin."""

    url: str

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET a page of the twin's own, or POST to it."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/_twin/{path}", data=data), timeout=30
        ) as answer:
            return json.load(answer)

    def reset(self) -> None:
        """Put data and tokens back as they were at the start."""
        self.ask("reset", {})

    def touch(self, vendor: str, stream: str, op: str, count: int) -> set[str]:
        """Change or add records as time would, and return their keys."""
        keys = self.ask("touch", {"vendor": vendor, "stream": stream, "op": op, "count": count})["keys"]
        return {str(key) for key in keys}

    def records(self, vendor: str, stream: str) -> dict[str, dict[str, Any]]:
        """What the oracle says that the vendor holds, by key."""
        truth = self.ask(f"truth/{vendor}/{stream}")
        return {str(_dig(record, truth["key"])): record for record in truth["records"]}

    def streams(self, vendor: str) -> set[str]:
        """The streams that the twin serves."""
        return set(self.ask("vendors")[vendor]["streams"])

    def connections(self, *, oauth: bool = False) -> list[dict[str, Any]]:
        """A connection per vendor with the credentials that the twin accepts."""
        accepted = self.ask("vendors")
        return [
            {"name": name, "connector": name, "base_url": f"{self.url}/{name}", "config": config(accepted[name], oauth)}
            for name, config in _CONFIGS.items()
            if name in accepted
        ]


def _dig(record: Any, path: str) -> Any:
    for part in path.split("."):
        record = record[part]
    return record


def _credential(vendor: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(one for one in vendor["credentials"] if one["type"] == kind)


def _oauth(vendor: dict[str, Any]) -> dict[str, str]:
    granted = _credential(vendor, "oauth2")
    return {name: granted[name] for name in ("client_id", "client_secret", "refresh_token") if name in granted}


def _bearer(vendor: dict[str, Any], oauth: bool) -> dict[str, str]:
    return _oauth(vendor) if oauth else {"access_token": _credential(vendor, "bearer")["tokens"][0]}


def _zendesk(vendor: dict[str, Any], oauth: bool) -> dict[str, str]:
    user, token = _credential(vendor, "basic")["pairs"][0]
    return _oauth(vendor) if oauth else {"email": user.removesuffix("/token"), "api_token": token}


def _shopify(vendor: dict[str, Any], oauth: bool) -> dict[str, str]:
    return _oauth(vendor) if oauth else {"access_token": _credential(vendor, "header")["values"][0]}


def _klaviyo(vendor: dict[str, Any], oauth: bool) -> dict[str, str]:
    return _oauth(vendor) if oauth else {"api_key": _credential(vendor, "header")["values"][0]}


_CONFIGS = {"hubspot": _bearer, "zendesk": _zendesk, "shopify": _shopify, "klaviyo": _klaviyo, "typeform": _bearer}


@contextmanager
def running(*options: str, vendors: tuple[str, ...] = VENDORS) -> Iterator[Twin]:
    """Start the twin on a free port; where it is missing CI fails, others skip with a word how to get it."""
    program = _shared() / "twin" / "twin.py"
    if not program.is_file():
        missing = f"no vendor twin at {program}: set UNISONO_SHARED to the folder that holds twin/twin.py"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    chosen = [*options, *(word for vendor in vendors for word in ("--vendor", vendor))]
    process = subprocess.Popen(
        [sys.executable, "-u", str(program), "--port", "0", *chosen],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        yield Twin(next(word for word in greeting.split() if word.startswith("http://")))
    finally:
        process.terminate()
        process.communicate(timeout=10)


def data() -> Path:
    """Return the folder that holds what the twin can play, a folder a vendor."""
    folder = _shared() / "twin" / "data"
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no vendor twin at {folder.parent}")
    return folder


def _shared() -> Path:
    return (_ROOT / os.environ.get("UNISONO_SHARED", "../shared")).resolve()
