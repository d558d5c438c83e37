"""Short and pet forms of given names, from ``short_forms.yaml``: what makes ``bob`` and ``robert`` one given name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS = "given_forms"
"""Column of ``norm`` with the full names that a given name may stand for; NULL where it stands for itself only."""
_FILE = Path(__file__).parent / "short_forms.yaml"


@cache
def full_names() -> Mapping[str, tuple[str, ...]]:
    """Return the full names that each listed given name may stand for, itself included where it is one."""
    found: dict[str, set[str]] = {}
    for full, forms in yaml.safe_load(_FILE.read_text(encoding="utf-8")).items():
        for name in (full, *forms):
            found.setdefault(name, set()).add(full)
    return {name: tuple(sorted(names)) for name, names in found.items()}
