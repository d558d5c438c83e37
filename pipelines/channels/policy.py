"""The channel policy: ``policy.yaml``, changed by a file of the user's, checked with file and line."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import load_yaml, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = Path(__file__).with_name("policy.yaml")
_SCHEMA = json.loads(Path(__file__).with_name("policy.schema.json").read_text(encoding="utf-8"))
_LAID_OVER = ("deliverability", "signals", "channels")


@dataclass(frozen=True)
class Policy:
    """What words mean and what the company holds to; ``signals`` and ``channels`` go from folded word to meaning."""

    quiet_from: time
    quiet_to: time
    messages: int
    within: timedelta
    least_answers: int
    soft_bounces: int
    deliverability: Mapping[str, float]
    signals: Mapping[str, str]
    permanent: frozenset[str]
    channels: Mapping[str, str]

    @property
    def fingerprint(self) -> int:
        """A number that differs when the policy would decide otherwise."""
        words = sorted(self.signals.items()), sorted(self.channels.items()), sorted(self.permanent)
        rest = [repr(value) for name, value in vars(self).items() if name not in ("signals", "channels", "permanent")]
        return int.from_bytes(hashlib.sha256(repr((words, rest)).encode()).digest()[:7], "big")


def folded(word: str | None) -> str:
    """Return a word's letters and digits in lower case: how vendors' words are compared."""
    return re.sub(r"[^a-z0-9]", "", (word or "").lower())


def load_policy(path: Path | None = None) -> Policy:
    """Return the policy; ``path`` names the user's file, which may say only what differs. Faults raise FixConfig."""
    data = dict(_read(DEFAULT))
    if path is not None:
        own = _read(path)
        data |= {name: data[name] | value if name in _LAID_OVER else value for name, value in own.items()}
    return Policy(
        quiet_from=time.fromisoformat(data["quiet_hours"]["from"]),
        quiet_to=time.fromisoformat(data["quiet_hours"]["to"]),
        messages=data["frequency"]["messages"],
        within=timedelta(days=data["frequency"]["days"]),
        least_answers=data["least_answers"],
        soft_bounces=data["soft_bounces"],
        deliverability=data["deliverability"],
        signals=_words(data["signals"], "signals", path or DEFAULT),
        permanent=frozenset(map(folded, data["permanent"])),
        channels=_words(data["channels"], "channels", path or DEFAULT),
    )


def _read(path: Path) -> Mapping[str, Any]:
    data, locate = load_yaml(path, error=FixConfig)
    validate(data if data is not None else {}, _SCHEMA, locate, error=FixConfig)
    return dict(data)


def _words(given: Mapping[str, list[str]], part: str, path: Path) -> dict[str, str]:
    """Turn meaning → words into word → meaning; a word with two meanings is a fault."""
    found: dict[str, str] = {}
    for meaning, words in given.items():
        for word in map(folded, words):
            if found.setdefault(word, meaning) != meaning:
                what = f"'{word}' means both '{found[word]}' and '{meaning}' in {part}"
                raise FixConfig(what, where=str(path), do="keep it in one of the two")
    return found
