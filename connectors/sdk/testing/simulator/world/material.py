"""The hand-written material of the world, read once from ``data/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

Rng = np.random.Generator
_PIECE = re.compile(r"#+|\{\d-\d\}|\{A\}|\{NPA\}|[^#{]+")
_AREA_CODES = ("212", "313", "404", "512", "614", "716", "804", "919")
_LETTERS = "ABDEFGHJLNPQRSTUWXYZ"


@dataclass(frozen=True)
class Country:
    """Names, places and number patterns of one country."""

    code: str
    language: str
    time_zone: str
    calling_code: str
    mobile: str
    landline: str
    postcode: str
    house: str
    female: list[str]
    male: list[str]
    family: list[str]
    nicknames: dict[str, str]
    streets: list[str]
    cities: list[tuple[str, str]]
    weight: float


def _read(name: str) -> Any:
    source = files("connectors.sdk.testing.simulator.world").joinpath("data", f"{name}.yaml")
    return yaml.safe_load(source.read_text(encoding="utf-8"))


def _country(code: str, raw: dict[str, Any]) -> Country:
    family = [name.replace("-", " ") for name in raw["family"].split()]
    cities = [tuple(entry.split("/", 1)) for entry in raw["cities"]]
    female, male = raw["female"].split(), raw["male"].split()
    return Country(**{**raw, "code": code, "female": female, "male": male, "family": family, "cities": cities})


@cache
def countries() -> tuple[Country, ...]:
    """Return the countries in the order of the file."""
    return tuple(_country(code, raw) for code, raw in _read("people").items())


@cache
def companies() -> dict[str, Any]:
    """Return the material for organisations."""
    return dict(_read("companies"))


@cache
def texts() -> dict[str, list[Any]]:
    """Return the lists of short texts, including job titles and departments."""
    company = companies()
    return {**_read("texts"), "job_title": company["job_titles"], "department": company["departments"]}


def fill(pattern: str, count: int, rng: Rng) -> list[str]:
    """Return ``count`` texts after ``pattern``: ``#`` a digit, ``{a-b}`` one of a range, ``{A}`` a letter."""
    columns = [_piece(piece, count, rng) for piece in _PIECE.findall(pattern)]
    return list(map("".join, zip(*columns, strict=True)))


def _piece(piece: str, count: int, rng: Rng) -> list[str]:
    if piece[0] == "#":
        width = len(piece)
        return [f"{n:0{width}d}" for n in rng.integers(0, 10**width, count).tolist()]
    if piece == "{A}":
        return [_LETTERS[i] for i in rng.integers(0, len(_LETTERS), count).tolist()]
    if piece == "{NPA}":
        return [_AREA_CODES[i] for i in rng.integers(0, len(_AREA_CODES), count).tolist()]
    if piece[0] == "{":
        return [str(i) for i in rng.integers(int(piece[1]), int(piece[3]) + 1, count).tolist()]
    return [piece] * count


def pick(options: list[Any], count: int, rng: Rng) -> list[Any]:
    """Return ``count`` draws from ``options``, each equally likely."""
    return [options[i] for i in rng.integers(0, len(options), count).tolist()]


def flags(chance: float, count: int, rng: Rng) -> list[bool]:
    """Return ``count`` draws that are true with probability ``chance``."""
    return [bool(hit) for hit in rng.random(count) < chance]
