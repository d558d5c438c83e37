"""Errors of the product, named by what the caller should do.

UnisonoError
├── FixConfig          the user's configuration or credentials are wrong: ask the user
├── FixConnector       a manifest, mapping, schema or hook is wrong: ask the connector's author
├── RetryLater         the vendor or a resource is unavailable: run again, nothing is lost
│   └── AlreadyRunning     another live process holds the lease
├── StopStream         going on would emit wrong or partial data: this stream ends, the others go on
│   ├── TooManyBad         more records in a row were bad than the fuse allows
│   └── Unaccounted        the numbers of a load do not agree: nothing of it was kept
├── SkipRecord         one record is unusable: quarantine it with reason and path
└── StoreFailure       the master store cannot be used as it is
    ├── LeaseLost          the fence moved on: this writer must not write again
    ├── StoreLocked        another writer held the store for too long
    └── StoreFull          no space left where the store or the landing lives
"""

from __future__ import annotations


class UnisonoError(Exception):
    """Base of all errors; ``str()`` holds what failed, where, why and what to do."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, why: str | None = None, do: str | None = None) -> None:
        self.what, self.where, self.why, self.do = what, where, why, do
        head = f"{where}: {what}" if where else what
        super().__init__("".join((head, f" ({why})" if why else "", f"\n  → {do}" if do else "")))


class FixConfig(UnisonoError):
    """The user's configuration or credentials are wrong."""

    exit_code = 2


class FixConnector(UnisonoError):
    """A connector's own files are wrong."""

    exit_code = 2


class RetryLater(UnisonoError):
    """Something is unavailable for now; a later run goes on where this one stopped."""


class AlreadyRunning(RetryLater):
    """Another live process holds the lease; the message names its host and pid."""


class StopStream(UnisonoError):
    """Going on would give wrong or partial data; only this stream ends."""


class TooManyBad(StopStream):
    """More records in a row went to quarantine than the connection allows; what was committed stays."""


class Unaccounted(StopStream):
    """The account of a load does not add up; the transaction concerned was given up."""


class SkipRecord(UnisonoError):
    """One record is unusable; it belongs in quarantine with ``reason`` and ``path``."""

    def __init__(self, reason: str, path: str = "") -> None:
        self.reason, self.path = reason, path
        super().__init__(reason, where=path or None)


class StoreFailure(UnisonoError):
    """The master store cannot be used as it is."""


class LeaseLost(StoreFailure):
    """Another writer took the lease over; nothing of this transaction was written."""


class StoreLocked(StoreFailure):
    """Another writer held the store longer than the busy timeout."""


class StoreFull(StoreFailure):
    """No space left on the device of the store or of the landing."""
