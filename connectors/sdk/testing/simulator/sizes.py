"""Worlds by size: as many people as give a wanted number of records about people of real vendors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .blocks import World
from .shape import shown_shapes

if TYPE_CHECKING:
    from .shape import Shape


def person_streams(shape: Shape) -> list[str]:
    """Return the served streams whose records are people: not those read below another record."""
    return [name for name in shape.served() if any(_is_people(shape, part) for part in shape.parts(name))]


def world_of(records: int, seed: int = 7) -> World:
    """Return a world with about ``records`` records in the person streams of all vendors that exist (within 2 %)."""
    shapes = {name: shape for name, shape in shown_shapes().items() if not shape.demo.get("made_up", False)}
    parts = [(shape, part) for shape in shapes.values() for name in person_streams(shape) for part in shape.parts(name)]
    rate = sum(_rate(shape, part) for shape, part in parts)
    return World(seed, math.ceil(records / rate), shapes=shapes)


def _is_people(shape: Shape, part: str) -> bool:
    stream = shape.streams[part]
    return stream.rows.get("view") == "people" and stream.nested is None


def _rate(shape: Shape, part: str) -> float:
    rows = shape.streams[part].rows
    return float(rows.get("share", 1.0) * (1 + rows.get("again", 0.0))) if _is_people(shape, part) else 0.0
