"""The demo's connections: made-up credentials that the shapes accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .shape import shown_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .shape import Shape


def demo_connections(base_url: str, shapes: Mapping[str, Shape] | None = None) -> list[dict[str, Any]]:
    """Return the connections of ``unisono.yaml`` that read a simulator at ``base_url``: one a shown vendor.

    A shape whose ``demo`` names streams is read by those alone, any other by all that its connector reads by default.
    """
    return [
        {
            "name": name,
            "connector": name,
            "base_url": f"{base_url}{shape.mount}",
            "config": dict(shape.demo["config"]),
            **({"streams": list(shape.demo["streams"])} if "streams" in shape.demo else {}),
        }
        for name, shape in (shown_shapes() if shapes is None else shapes).items()
    ]
