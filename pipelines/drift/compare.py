"""A load's profile against what the stream looked like before: what was added, removed, retyped, widened, or moved."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.sdk import paths
from connectors.sdk.paths import Path
from pipelines.drift import stats
from pipelines.drift.model import MAX_VALUES, Node, Profile, holders, is_closed, merged, records

NOTE, WARN, ERROR = "note", "warn", "error"
LEVELS = (NOTE, WARN, ERROR)
_TOP = frozenset({"added", "removed", "retyped"})
_MANY = 10
_GONE_SHARE = 0.5
_NUMBERED = re.compile(
    r"(^|[^a-z])(id|ids|uid|uuid|guid|key|seq|sequence|no|number|version|revision|ts|time|date|at|on|updated|created|modified|"
    r"timestamp|cursor)$|(Id|ID|Key|At|Time|Date|On|Timestamp|Version)$"
)
_EPOCHS = ((6e8, 5e9), (6e11, 5e12))


@dataclass(frozen=True)
class Finding:
    """One change at one path; ``signature`` tells the same change met again from another one."""

    path: Path
    kind: str
    level: str
    detail: Mapping[str, Any]
    mapped: bool = False

    @property
    def signature(self) -> str:
        """Hash of what changed, without counts."""
        told = [self.detail.get(name) for name in ("types", "values", "declared")]
        return hashlib.sha256(json.dumps([self.kind, *told], sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Uses:
    """What the connector says of paths: which it reads, which it knows of at all, which grow by nature (keys, times)."""

    reads: Callable[[Path], bool]
    knows: Callable[[Path], bool]
    grows: Callable[[Path], bool]


def compare(base: Profile, recent: Profile, load: Profile, uses: Uses) -> list[Finding]:
    """Return the changes of a load against ``base``; ``recent`` are loads since, too small to be judged by themselves.

    What is new is looked for in the load; what is gone or has moved, in the recent loads and this one together.
    """
    if not records(base) or not records(load):
        return []
    before, window = merged(base, recent), merged(recent, load)
    found = [*_added(before, load, uses), *_changed(before, load), *_removed(base, window)]
    tops = {finding.path for finding in found if finding.kind in _TOP}
    nulls = {finding.path for finding in found if finding.kind == "nullability"}
    other = {finding.path for finding in found if finding.kind in ("widened", "enum")}
    told = {"fill": nulls, "distribution": other}
    moved = [one for one in _moved(base, window, uses) if one.path not in told[one.kind]]
    kept = [one for one in (*found, *moved) if one.kind in _TOP or not _below(one.path, tops)]
    return [_judged(one, uses) for one in kept]


def _below(path: Path, tops: set[Path]) -> bool:
    return any(path[:end] in tops for end in range(1, len(path) + 1))


def _judged(finding: Finding, uses: Uses) -> Finding:
    """A path the mapping reads makes a break of structure an error."""
    mapped = uses.reads(finding.path)
    broken = finding.kind in ("removed", "retyped") or finding.detail.get("emptied")
    level = ERROR if mapped and broken and finding.level == WARN else finding.level
    return replace(finding, level=level, mapped=mapped)


def _level(p: float) -> str:
    return WARN if p < stats.NOVEL_P else NOTE


def _added(before: Profile, load: Profile, uses: Uses) -> Iterator[Finding]:
    """Yield paths never seen below a parent that was; many new members of one object are one finding."""
    new: dict[Path, list[tuple[Path, float]]] = {}
    for path, node in load.items():
        if not path or path in before or path[:-1] not in before or uses.knows(path) or not node.present:
            continue
        room = holders(before, path)
        if room:
            new.setdefault(path[:-1], []).append(
                (path, stats.novel(min(node.present, node.parents), node.parents, room))
            )
    for parent, members in new.items():
        if len(members) > _MANY:
            names = sorted(paths.write(path[-1:]) for path, _ in members)
            detail = {"members": len(members), "for_example": names[:_MANY]}
            yield Finding(parent, "added", _level(min(p for _, p in members)), detail)
            continue
        for path, p in members:
            node = load[path]
            yield Finding(
                path, "added", _level(p), {"types": sorted(node.types), "seen": node.present, "of": node.parents}
            )


def _changed(before: Profile, load: Profile) -> Iterator[Finding]:
    for path, node in load.items():
        old = before.get(path)
        if old is not None and path:
            yield from _retyped(path, old, node)
            yield from _nullable(path, old, node)
            yield from _new_words(path, old, node)


def _retyped(path: Path, old: Node, new: Node) -> Iterator[Finding]:
    known = old.kinds | ({"integer"} if "number" in old.kinds else frozenset())
    fresh = new.kinds - known
    if not old.kinds or not fresh:
        return
    count = sum(new.types[kind] for kind in fresh)
    now, ever = sum(new.types[kind] for kind in new.kinds), sum(old.types[kind] for kind in old.kinds)
    stays = new.kinds & known or (fresh == {"number"} and old.kinds == {"integer"})
    detail = {"types": sorted(new.types), "before": sorted(old.types), "seen": count, "of": now}
    yield Finding(path, "widened" if stays else "retyped", _level(stats.novel(count, now, ever)), detail)


def _nullable(path: Path, old: Node, new: Node) -> Iterator[Finding]:
    if new.nulls and not old.nulls and old.kinds:
        p = stats.novel(new.nulls, new.present, old.present)
        yield Finding(path, "nullability", _level(p), {"types": ["null"], "seen": new.nulls, "of": new.present})


def _new_words(path: Path, old: Node, new: Node) -> Iterator[Finding]:
    """Yield words that a short list, seen often enough to be closed, did not have."""
    if not is_closed(old) or new.values is None or old.values is None or "string" not in new.kinds:
        return
    if not new.values and new.filled > MAX_VALUES:
        yield Finding(path, "enum", WARN, {"values": f"more than {2 * MAX_VALUES}", "before": sorted(old.values)})
    fresh = {value: count for value, count in new.values.items() if value not in old.values}
    if fresh:
        p = stats.novel(sum(fresh.values()), sum(new.values.values()), sum(old.values.values()))
        words = sorted(fresh)[:_MANY]
        yield Finding(
            path, "enum", _level(p), {"values": words, "seen": sum(fresh.values()), "before": sorted(old.values)}
        )


def _removed(before: Profile, window: Profile) -> Iterator[Finding]:
    for path, old in before.items():
        if not path or not isinstance(path[-1], str) or not old.present:
            continue
        now = window.get(path)
        room = holders(window, path)
        if room and (now is None or not now.present):
            p = stats.gone(min(old.present, old.parents), old.parents, room)
            if p < stats.GONE_P:
                yield Finding(
                    path, "removed", WARN, {"before": sorted(old.types), "was_in": _share(old.present, old.parents)}
                )


def _moved(before: Profile, window: Profile, uses: Uses) -> Iterator[Finding]:
    for path, new in window.items():
        old = before.get(path)
        if old is None or not path:
            continue
        if (
            isinstance(path[-1], str)
            and old.kinds
            and stats.rates_differ(new.filled, new.parents, old.filled, old.parents, effect=stats.FILL_EFFECT)
        ):
            was, now = _share(old.filled, old.parents), _share(new.filled, new.parents)
            emptied = new.filled == 0 and was >= _GONE_SHARE
            yield Finding(path, "fill", WARN, {"was": was, "is": now, **({"emptied": True} if emptied else {})})
        yield from _distributed(path, old, new, uses)


def _distributed(path: Path, old: Node, new: Node, uses: Uses) -> Iterator[Finding]:
    if uses.grows(path) or _NUMBERED.search(str(path[-1])):
        return
    if old.values and new.values and old.kinds & new.kinds and _is_listed(old):
        if stats.shares_differ(old.values, new.values):
            yield Finding(path, "distribution", WARN, {"was": _shares(old.values), "is": _shares(new.values)})
        return
    name = "numbers" if old.numbers and new.numbers else "lengths"
    was, now = getattr(old, name), getattr(new, name)
    if (name == "numbers" and _is_epoch(was[1])) or not stats.distributions_differ(was, now):
        return
    distance = round(stats.distance(was, now), 3)
    detail = {"of": name, "was": _quartiles(was[1]), "is": _quartiles(now[1]), "distance": distance}
    yield Finding(path, "distribution", WARN, detail)


def _is_listed(node: Node) -> bool:
    return is_closed(node) or node.kinds == {"boolean"}


def _is_epoch(points: tuple[float, ...]) -> bool:
    return any(low <= points[0] and points[-1] <= high for low, high in _EPOCHS)


def _quartiles(points: tuple[float, ...]) -> list[float]:
    return [points[index] for index in (0, 25, 50, 75, 100)]


def _shares(values: Mapping[str, int]) -> dict[str, float]:
    whole = sum(values.values())
    return {value: _share(count, whole) for value, count in sorted(values.items(), key=lambda item: -item[1])[:_MANY]}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 0.0
