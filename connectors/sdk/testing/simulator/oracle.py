"""What a perfect reader holds at the end, and how far a real one is from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .holdings import Held
    from .hostile import HostileVendor

Quarantined = Iterable[tuple[str | None, str, bytes]]


@dataclass
class Mark:
    """What the hazards did to one record that a judge must know."""

    late: bool = False
    gone: bool = False
    poison: str | None = None
    earlier: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Expected:
    """One record of the truth.

    ``contents`` are the ways in which the vendor shows it; ``earlier`` what it showed before; ``late``: the record, its
    newest content or its end may come with the next sync (or the next full read); ``poison``: it may be in quarantine
    instead, because of this.
    """

    contents: tuple[bytes, ...]
    earlier: tuple[bytes, ...] = ()
    deleted: bool = False
    late: bool = False
    poison: str | None = None


@dataclass(frozen=True)
class Judgement:
    """The difference between a store and the truth; every list holds keys."""

    missing: list[str]
    wrong: list[str]
    unexpected: list[str]
    undeleted: list[str]
    wrongly_deleted: list[str]
    late: list[str]

    @property
    def ok(self) -> bool:
        """Return whether nothing differs, but for what may come late."""
        return not (self.missing or self.wrong or self.unexpected or self.undeleted or self.wrongly_deleted)

    def __str__(self) -> str:
        """Return the differences in words."""
        parts = [f"{len(keys)} {name}: {', '.join(keys[:5])}" for name, keys in vars(self).items() if keys]
        return "; ".join(parts) or "nothing differs"


class Oracle:
    """Knows a vendor's truth at any moment."""

    def __init__(self, vendor: HostileVendor) -> None:
        self._vendor = vendor
        self.marks: dict[str, dict[str, Mark]] = {}

    def mark(self, stream: str, key: str) -> Mark:
        """Return what is noted about a record."""
        return self.marks.setdefault(stream, {}).setdefault(key, Mark())

    def expected(self, stream: str) -> dict[str, Expected]:
        """Return what a perfect reader holds now, by key; deleted records are in it as long as they were ever shown."""
        lot = self._vendor.lots[stream]
        return {key: self._one(stream, held) for key, held in lot.known.items() if not held.hidden}

    def _one(self, stream: str, held: Held) -> Expected:
        mark = self.mark(stream, held.key)
        texts = [self._vendor.plan.text(stream, held, one.decode()) for one in self._shown(stream, held)]
        contents = [text.encode(errors="surrogatepass") for text in texts]
        return Expected(tuple(contents), tuple(mark.earlier), mark.gone, mark.late, mark.poison)

    def _shown(self, stream: str, held: Held) -> list[bytes]:
        shows = self._vendor.vendor.shows.get(stream, {})
        return [held.payload, *(show(held.payload) for show in shows.values())]

    def judge(
        self, stream: str, held: Mapping[str, bytes | None], quarantined: Quarantined = (), *, final: bool = True
    ) -> Judgement:
        """Compare what a reader holds (key to payload; null for deleted) with the truth.

        Unless ``final``, what may come late is no difference: it is listed as ``late``.
        """
        truth, apart = self.expected(stream), list(quarantined)
        aside = {key for key, _, _ in apart}
        payloads = {payload for _, _, payload in apart}
        found: dict[str, list[str]] = {name: [] for name in Judgement.__dataclass_fields__}
        for key, one in truth.items():
            if one.poison and (key in aside or payloads.intersection(one.contents)):
                continue
            fault = _fault(one, held.get(key), known=key in held)
            if fault is not None:
                found["late" if not final and _may_wait(one, fault, held.get(key)) else fault].append(key)
        found["unexpected"] = sorted(key for key in held if key not in truth and held[key] is not None)
        return Judgement(**found)


def _fault(one: Expected, payload: bytes | None, *, known: bool) -> str | None:
    if one.deleted:
        return "undeleted" if payload is not None else None
    if not known:
        return "missing"
    if payload is None:
        return "wrongly_deleted"
    return None if any(same(payload, content) for content in one.contents) else "wrong"


def _may_wait(one: Expected, fault: str, payload: bytes | None) -> bool:
    """Return whether a fault is nothing but lateness: old content is late only as the vendor once showed it."""
    if not one.late:
        return False
    return fault != "wrong" or (payload is not None and any(same(payload, content) for content in one.earlier))


def same(one: bytes, other: bytes) -> bool:
    """Return whether two JSON texts say the same, digit for digit; members may stand in any order."""
    return one == other or exact(one) == exact(other)


def exact(payload: bytes) -> Any:
    """Return a JSON text's value with its numbers as written; the text itself where it cannot be read."""
    try:
        return json.loads(payload, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return payload


class _Number(str):
    """A number as it was written."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is _Number and str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)
