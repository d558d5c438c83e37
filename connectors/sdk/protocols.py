"""What the fetch engine gives to extract and asks of it: pages out; checkpoints, tokens and quota in.

The store implements the protocols; the engine never knows how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, overload

if TYPE_CHECKING:
    from asyncio import Semaphore
    from collections.abc import Mapping
    from datetime import datetime

    from connectors.sdk.specs import Limits, Manifest


class ReadKind(StrEnum):
    """Whether a read asked for what changed, or for everything; each kind goes on from a state of its own.

    BACKFILL reads everything of a stream that can also be asked for changes, beside its INCREMENTAL reads; SNAPSHOT
    reads everything of a stream that cannot.
    """

    INCREMENTAL = "INCREMENTAL"
    BACKFILL = "BACKFILL"
    SNAPSHOT = "SNAPSHOT"


class Completeness(StrEnum):
    """What is proven about a finished read."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    UNKNOWN = "UNKNOWN"
    NO_ACCESS = "NO_ACCESS"


class Problem(NamedTuple):
    """Why a record must be quarantined, and where in it."""

    reason: str
    path: str


class RawRecord(NamedTuple):
    """One record as the vendor sent it: ``payload`` is its own bytes, cut from the page.

    ``hash`` is equal for equal content whatever the member order; ``cursor`` is the vendor's own text. A record with
    a ``problem`` has been read but cannot be loaded.
    """

    key: str | None
    payload: bytes
    hash: str | None = None
    record_time: datetime | None = None
    cursor: str | None = None
    op: Literal["upsert", "delete"] = "upsert"
    parent: bytes | None = None
    problem: Problem | None = None


class Records(Sequence[RawRecord]):
    """Records kept field by field, a list for each field of RawRecord: a RawRecord is made only when one is asked for."""

    __slots__ = ("keys", "payloads", "hashes", "times", "cursors", "ops", "parents", "problems")  # noqa: RUF023  as RawRecord has them
    keys: list[str | None]
    payloads: list[bytes]
    hashes: list[str | None]
    times: list[datetime | None]
    cursors: list[str | None]
    ops: list[Literal["upsert", "delete"]]
    parents: list[bytes | None]
    problems: list[Problem | None]

    def __init__(self, rows: Sequence[tuple[Any, ...]] = ()) -> None:
        """Take rows in the order of RawRecord's fields; RawRecords are such rows."""
        fields: Iterable[list[Any]] = map(list, zip(*rows, strict=True)) if rows else ([] for _ in RawRecord._fields)
        self._take(fields)

    @classmethod
    def of(cls, records: Iterable[RawRecord]) -> Records:
        """Return the records in this form; those that are in it already are returned as they are."""
        return records if isinstance(records, Records) else cls(list(records))

    @classmethod
    def of_fields(cls, *fields: list[Any]) -> Records:
        """Return records given field by field, in the order of RawRecord's fields; the lists become theirs."""
        made = cls()
        made._take(fields)
        return made

    def _take(self, fields: Iterable[list[Any]]) -> None:
        for name, values in zip(self.__slots__, fields, strict=True):
            setattr(self, name, values)

    def _fields(self) -> list[list[Any]]:
        return [getattr(self, name) for name in self.__slots__]

    @property
    def are_good(self) -> bool:
        """True when every record can be loaded: none has a problem."""
        return self.problems.count(None) == len(self.problems)

    def extend(self, more: Records) -> None:
        """Add all of ``more`` at the end."""
        for mine, others in zip(self._fields(), more._fields(), strict=True):
            mine.extend(others)

    def append(self, record: RawRecord) -> None:
        """Add one record at the end."""
        for mine, value in zip(self._fields(), record, strict=True):
            mine.append(value)

    @overload
    def __getitem__(self, at: int) -> RawRecord: ...
    @overload
    def __getitem__(self, at: slice) -> Records: ...
    def __getitem__(self, at: int | slice) -> RawRecord | Records:
        """Return one record, or some in this form."""
        chosen = [values[at] for values in self._fields()]
        if not isinstance(at, slice):
            return RawRecord._make(chosen)
        some = Records()
        some._take(chosen)
        return some

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.keys)

    def __iter__(self) -> Iterator[RawRecord]:
        """Yield the records, made one by one."""
        return map(RawRecord._make, zip(*self._fields(), strict=True))

    def __eq__(self, other: object) -> bool:
        """Return whether the same records stand in the same order, in whatever form."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # there are lists inside


class ParentRecord(NamedTuple):
    """A landed record of a parent stream."""

    key: str
    payload: bytes
    hash: str


@dataclass(frozen=True)
class PartitionState:
    """What is known of one partition of a stream from earlier runs.

    ``cursor`` is how far the changes are known; ``position`` is where an unfinished read of everything stands and
    ``changes`` where an unfinished INCREMENTAL one does, else ``None``; ``complete`` says whether the last finished
    read of each kind was COMPLETE. ``whole`` is when the last COMPLETE read of everything began, as far as that is known.
    """

    partition: str
    cursor: str | None = None
    position: Mapping[str, Any] | None = None
    parent_hash: str | None = None
    complete: bool = False
    changes: Mapping[str, Any] | None = None
    whole: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page of one partition, in order; store ``position`` with its records and a kill loses nothing.

    ``wire`` counts the records the vendor sent: ``wire == len(records) + filtered``. ``position`` is ``None`` on the
    partition's last page; only that page carries ``completeness``, ``cursor`` (the one to store now), ``began`` (when the
    read did), and ``reason`` or ``proof``.
    ``restarted`` is true on the first page after the vendor refused a stored position: the read began anew.
    """

    partition: str
    kind: ReadKind
    records: Sequence[RawRecord]
    wire: int
    filtered: int = 0
    position: Mapping[str, Any] | None = None
    cursor: str | None = None
    parent_hash: str | None = None
    completeness: Completeness | None = None
    reason: str | None = None
    restarted: bool = False
    proof: str | None = None
    began: datetime | None = None


@dataclass(frozen=True)
class StoredToken:
    """A connection's OAuth tokens. ``version`` grows with each save; ``seed`` tells which credentials they came from.

    ``claimed_until`` is set while one process refreshes: the others wait for its answer. ``presented`` says that the
    refresh token was shown to the vendor and that the answer is not known; ``reauth`` why a person must authorise anew.
    ``rotated`` says that the vendor has replaced the seed; ``former`` are seeds that are spent for good.
    """

    connection_id: str
    version: int
    seed: str
    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: datetime | None = None
    claimed_until: datetime | None = None
    refresh_at: datetime | None = None
    presented: bool = False
    reauth: str | None = None
    rotated: bool = False
    former: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConnectionSettings:
    """One configured connection, secrets resolved; ``manifest.connect`` checks and makes it."""

    name: str
    connection_id: str
    manifest: Manifest = field(repr=False)
    base_url: str
    config: Mapping[str, Any] = field(repr=False)
    timezone: str | None = None
    streams: tuple[str, ...] = ()
    allow_private: bool = False
    patience_s: float = 120.0
    account_limits: Limits | None = field(default=None, repr=False)

    @property
    def limits(self) -> Limits:
        """What the vendor allows this account: its own numbers where the configuration gives some."""
        return self.account_limits or self.manifest.limits

    @property
    def connector(self) -> str:
        """Name of the connector."""
        return self.manifest.name


class Checkpoints(Protocol):
    """What earlier runs left of one stream."""

    def partition(self, partition: str) -> PartitionState | None:
        """Return the state of a partition, ``None`` if it was never read."""

    def partitions(self, names: Sequence[str]) -> Mapping[str, PartitionState]:
        """Return the states of those of some hundred partitions that were ever read, in one question."""

    def live_records(self) -> int:
        """Return how many landed records of this stream the vendor has not deleted."""

    def parents(self, parent_stream: str, changed_since_complete: bool) -> Iterable[ParentRecord]:
        """Return the landed, live records of another stream of this connection.

        With ``changed_since_complete`` those may be left out whose children were read COMPLETE for this very hash.
        """


class Tokens(Protocol):
    """Where OAuth tokens survive; ``save`` is durable when it returns."""

    def load(self, connection_id: str) -> StoredToken | None:
        """Return the tokens last saved."""

    def save(self, token: StoredToken, expected_version: int) -> bool:
        """Replace the tokens if their version is still ``expected_version`` (0 = none yet); else return False."""


class Quota(Protocol):
    """The requests one vendor account may still make, shared by all who use it."""

    async def acquire(self, method: str = "GET", path: str = "/") -> None:
        """Return when one such request may be sent; raise VendorBusy when that is too far away."""

    def slots(self, method: str, path: str) -> Sequence[Semaphore]:
        """Return what bounds the requests of this kind that run at one time, beside the connection's own bound."""

    def observe(
        self, headers: Mapping[str, str], now: datetime, *, status: int = 200, method: str = "GET", path: str = "/"
    ) -> None:
        """Learn from an answer: its status and its headers (``Retry-After``, remaining counts)."""

    def close(self) -> None:
        """Give back what was not used."""
