"""The identity policy (``rules.yaml``): loaded once, checked, immutable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

from connectors.sdk.errors import FixConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class LinkRule:
    """One way to link two records without a score."""

    name: str
    kind: str
    priority: int
    limit: int
    names: str
    verified: bool = False


@dataclass(frozen=True)
class Policy:
    """What may link, what may never link, and what is left out of the comparison."""

    version: int
    rules: tuple[LinkRule, ...]
    blocked: Mapping[str, tuple[str, ...]]
    placeholders: Mapping[str, tuple[str, ...]]
    unique_systems: tuple[str, ...]
    typos: int
    generation_years: int | None
    mail_providers: tuple[str, ...]
    ignored_terms: frozenset[str]
    ledger_floor: float
    shared_value_names: int
    training_rows: int
    retrain_growth: float


def load_policy(path: Path | None = None) -> Policy:
    """Return the checked policy; an invalid file is a FixConfig naming the place in it."""
    return _load(path or _HERE / "rules.yaml")


@cache
def _load(path: Path) -> Policy:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = json.loads((_HERE / "rules.schema.json").read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(data))
    if error is not None:
        place = ".".join(str(part) for part in error.absolute_path) or "(top level)"
        raise FixConfig(
            f"identity policy is invalid at {place}",
            where=str(path),
            why=error.message,
            do="correct the policy; rules.schema.json beside it lists what is allowed",
        )
    return _build(data)


def _build(data: Mapping[str, Any]) -> Policy:
    rules = sorted((LinkRule(**rule) for rule in data["rules"]), key=lambda rule: (rule.priority, rule.name))
    return Policy(
        version=data["version"],
        rules=tuple(rules),
        blocked={kind: tuple(patterns) for kind, patterns in data["blocked"].items()},
        placeholders={kind: tuple(words) for kind, words in data.get("placeholders", {}).items()},
        unique_systems=tuple(data["unique"]["systems"]),
        typos=data["unique"]["typos"],
        generation_years=data.get("generation_years"),
        mail_providers=tuple(data.get("mail_providers", ())),
        ignored_terms=frozenset(data["ignored_terms"]),
        ledger_floor=data["ledger_floor"],
        shared_value_names=data["shared_value_names"],
        training_rows=data["training_rows"],
        retrain_growth=data["retrain_growth"],
    )
