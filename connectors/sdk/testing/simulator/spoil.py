"""Deliberate bad records of a demo: named rows in which a member is set to nonsense or dropped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def spoiled(texts: Sequence[str], spoils: Sequence[dict[str, Any]]) -> list[str]:
    """Return ``texts`` with each spoil applied to its row; a row number beyond the end wraps round."""
    result = list(texts)
    for spoil in spoils if result else ():
        at = spoil["row"] % len(result)
        record = json.loads(result[at])
        for path, value in spoil.get("set", {}).items():
            _put(record, path.split("."), value)
        for path in spoil.get("drop", ()):
            _drop(record, path.split("."))
        result[at] = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return result


def _parent(record: Any, path: list[str]) -> Any:
    for name in path[:-1]:
        record = record[int(name)] if isinstance(record, list) else record[name]
    return record


def _put(record: Any, path: list[str], value: Any) -> None:
    _parent(record, path)[path[-1]] = value


def _drop(record: Any, path: list[str]) -> None:
    _parent(record, path).pop(path[-1], None)
