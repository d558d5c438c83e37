"""What the fetch engine gives to extract and asks of it: pages out; checkpoints, tokens and quota in.

The store implements the protocols; the engine never knows how.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from asyncio import Semaphore
    from collections.abc import Iterable, Mapping, Sequence
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
    read of each kind was COMPLETE.
    """

    partition: str
    cursor: str | None = None
    position: Mapping[str, Any] | None = None
    parent_hash: str | None = None
    complete: bool = False
    changes: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Page:
    """One page of one partition, in order; store ``position`` with its records and a kill loses nothing.

    ``wire`` counts the records the vendor sent: ``wire == len(records) + filtered``. ``position`` is ``None`` on the
    partition's last page; only that page carries ``completeness``, ``cursor`` (the one to store now), and ``reason`` or
    ``proof``.
    ``restarted`` is true on the first page after the vendor refused a stored position: the read began anew.
    """

    partition: str
    kind: ReadKind
    records: tuple[RawRecord, ...]
    wire: int
    filtered: int = 0
    position: Mapping[str, Any] | None = None
    cursor: str | None = None
    parent_hash: str | None = None
    completeness: Completeness | None = None
    reason: str | None = None
    restarted: bool = False
    proof: str | None = None


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
