"""Checkpoints and tokens kept in memory: for trying a connector out, for the conformance kit and for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.sdk.protocols import Completeness, Page, ParentRecord, PartitionState, StoredToken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class MemoryCheckpoints:
    """What extract keeps in the store, in its simplest true form."""

    def __init__(self, parents: Mapping[str, Iterable[ParentRecord]] | None = None) -> None:
        """Start without any earlier read."""
        self.states: dict[str, PartitionState] = {}
        self.live = 0
        self._parents = {name: tuple(records) for name, records in (parents or {}).items()}

    def partition(self, partition: str) -> PartitionState | None:
        """Return the state of a partition."""
        return self.states.get(partition)

    def live_records(self) -> int:
        """Return the number a test has set."""
        return self.live

    def parents(self, parent_stream: str, changed_since_complete: bool) -> Iterable[ParentRecord]:
        """Return all parents given; the engine compares hashes itself."""
        del changed_since_complete
        return self._parents.get(parent_stream, ())

    def save(self, page: Page) -> None:
        """Store what one page leaves for the next run."""
        state = self.states.get(page.partition, PartitionState(page.partition))
        if page.completeness is None:
            self.states[page.partition] = replace(state, position=page.position)
            return
        complete = page.completeness is Completeness.COMPLETE
        self.states[page.partition] = PartitionState(
            page.partition, page.cursor, None, page.parent_hash if complete else state.parent_hash, complete
        )


class MemoryTokens:
    """Tokens with compare-and-swap, for one process."""

    def __init__(self) -> None:
        """Start without tokens; ``saved`` keeps every version in order."""
        self.saved: list[StoredToken] = []

    def load(self, connection_id: str) -> StoredToken | None:
        """Return the newest tokens of a connection."""
        return next((token for token in reversed(self.saved) if token.connection_id == connection_id), None)

    def save(self, token: StoredToken, expected_version: int) -> bool:
        """Keep ``token`` if nobody saved since ``expected_version``."""
        stored = self.load(token.connection_id)
        if (stored.version if stored else 0) != expected_version:
            return False
        self.saved.append(token)
        return True
