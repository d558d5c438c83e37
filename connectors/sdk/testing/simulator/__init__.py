"""The vendor simulator: declarative vendor shapes over a seeded world, served on loopback HTTP.

``World`` is the truth and every vendor's records of it; ``Simulator`` serves them; ``demo_connections`` are the
connections that read them. A vendor's shape is ``connectors/<vendor>/simulator.yaml``; the engine knows no vendor.
"""

from .blocks import DEFAULT_NOW, Truth, World
from .clock import SimClock
from .demo import demo_connections
from .faults import FAULTS, Fault, RateLimit, ServerError
from .hazards import HAZARDS, Firing, Hazard, applies
from .hostile import HostileVendor
from .oracle import Expected, Judgement
from .reader import Reader, ReadResult
from .shape import Shape, ShapeError, build_shape, find_shapes, load_shape, shown_shapes
from .simulator import Simulator
from .sizes import person_streams, world_of
from .traffic import Asked, Traffic

__all__ = [
    "DEFAULT_NOW",
    "FAULTS",
    "HAZARDS",
    "Asked",
    "Expected",
    "Fault",
    "Firing",
    "Hazard",
    "HostileVendor",
    "Judgement",
    "RateLimit",
    "ReadResult",
    "Reader",
    "ServerError",
    "Shape",
    "ShapeError",
    "SimClock",
    "Simulator",
    "Traffic",
    "Truth",
    "World",
    "applies",
    "build_shape",
    "demo_connections",
    "find_shapes",
    "load_shape",
    "person_streams",
    "shown_shapes",
    "world_of",
]
