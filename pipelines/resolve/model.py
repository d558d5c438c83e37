"""The match model: everything that decides a score, as one immutable JSON document (ARCHITECTURE §7)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.resolve.agreement import Check
from pipelines.resolve.blocking import Atom
from pipelines.resolve.comparisons import Level
from pipelines.resolve.features import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 4


@dataclass(frozen=True)
class Weighted:
    """A comparison with its learned probabilities: (level, m, u), best grade first."""

    name: str
    levels: tuple[tuple[Level, float, float], ...]
    origin: str = "learned"


@dataclass(frozen=True)
class MatchModel:
    """Weights, term frequencies, blocking, threshold and limits; scoring reads nothing else but the records."""

    entity: str
    origin: str
    prior: float
    threshold: float
    comparisons: tuple[Weighted, ...]
    features: tuple[Feature, ...]
    frequencies: Mapping[str, Mapping[str, float]]
    atoms: tuple[Atom, ...]
    keys: tuple[tuple[str, ...], ...]
    rows: int
    policy_version: int
    report: Mapping[str, float] = field(default_factory=dict)

    @property
    def systems(self) -> dict[str, str]:
        """Feature column of each identifier system that is compared value by value."""
        return {feature.system: feature.column for feature in self.features if feature.system}

    @property
    def model_id(self) -> str:
        """Name of the model: a hash of its content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the document; equal models give equal text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, ensure_ascii=False)

    @staticmethod
    def is_current(text: str) -> bool:
        """Tell whether a document is in the format that this version writes; another model must take its place if not."""
        return bool(json.loads(text).get("format") == FORMAT)

    @staticmethod
    def from_json(text: str) -> MatchModel:
        """Return the model of a document that ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        data.pop("format")
        data["comparisons"] = tuple(_weighted(item) for item in data["comparisons"])
        data["features"] = tuple(Feature(**item) for item in data["features"])
        data["atoms"] = tuple(Atom(**item) for item in data["atoms"])
        data["keys"] = tuple(tuple(key) for key in data["keys"])
        return MatchModel(**data)


def _weighted(item: Mapping[str, Any]) -> Weighted:
    levels = tuple((_level(level), m, u) for level, m, u in item["levels"])
    return Weighted(item["name"], levels, item["origin"])


def _level(item: Mapping[str, Any]) -> Level:
    test = item["check"]
    return Level(**{**item, "check": Check(test["name"], tuple(test["args"])) if test else None})
