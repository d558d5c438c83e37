"""Tiers without a check: what was computed for these very files is remembered, beside the connectors or in the user's cache.

A remembered tier belongs to the content of the connector's folder; when a file changes it is forgotten.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import connectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectors.sdk.testing.report import CheckReport

UNCHECKED: Final = "unchecked"
SHIPPED: Final = Path(next(iter(connectors.__path__))) / "tiers.json"
_LEFT_OUT: Final = frozenset({"__pycache__", ".DS_Store"})


def fingerprint(folder: Path) -> str:
    """Return a hash of every file of a connector, names and content."""
    digest = sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not _LEFT_OUT.intersection(file.parts):
            digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_file() -> Path:
    """Return where the tiers of this user's connectors are remembered."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "unisono" / "tiers.json"


def known_tier(folder: Path) -> str:
    """Return the tier computed for exactly these files, ``unchecked`` when nobody has."""
    mark = fingerprint(folder)
    for file in (SHIPPED, cache_file()):
        found = _read(file).get(folder.name)
        if found is not None and found.get("files") == mark:
            return str(found["tier"])
    return UNCHECKED


def remember(reports: Iterable[tuple[Path, CheckReport]], file: Path | None = None) -> None:
    """Keep the tiers of checked connectors; a cache that cannot be written is no reason to fail."""
    target = file or cache_file()
    known = dict(_read(target))
    known.update({folder.name: {"tier": report.tier, "files": fingerprint(folder)} for folder, report in reports})
    text = json.dumps(dict(sorted(known.items())), indent=2) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError:
        if file is not None:
            raise


def _read(file: Path) -> Mapping[str, Mapping[str, str]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
