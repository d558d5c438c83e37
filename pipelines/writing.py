"""The write transactions of a stage under its lease: short ones, or one for all of a change that is small."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pipelines.context import StageContext
    from pipelines.store import Lease, WriteTransaction


class Writing:
    """Opens write transactions in the name of a stage's run."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        self._context, self._lease = context, lease
        self._open: WriteTransaction | None = None

    def __call__(self) -> AbstractContextManager[WriteTransaction]:
        """Open a write transaction, or join the one that ``at_once`` opened."""
        if self._open is not None:
            return nullcontext(self._open)
        context = self._context
        return context.store.write(self._lease, cause=context.cause, actor=context.actor)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Write all that follows in one transaction: for so few rows that it stays short."""
        with self() as tx:
            self._open = tx
            try:
                yield
            finally:
                self._open = None
