"""What extract looks at while pages go by: whether the load goes bad."""

from __future__ import annotations

from connectors.sdk.protocols import Page, Records
from pipelines.config import ConnectionConfig
from pipelines.fuse import Fuse, reason_text


def fuse_of(connection: ConnectionConfig, stream: str) -> Fuse:
    """Return the fuse of one load of a stream."""
    where = f"{connection.name}/{stream}"
    do = (
        f"see `unisono quarantine list {where}`; when the vendor or the connector is mended, sync again: it goes on where this "
        "load stopped. If so many bad records are normal here, raise quarantine: max_bad of the connection"
    )
    return Fuse(connection.fuse(stream), where, do)


def watch(fuse: Fuse, page: Page) -> None:
    """Count a page that is about to be kept; raise TooManyBad, and the page is read again by the next load."""
    if Records.of(page.records).are_good:
        fuse.take(len(page.records), (), ())
        return
    bad = [(at, record.problem) for at, record in enumerate(page.records) if record.problem is not None]
    fuse.take(
        len(page.records), [at for at, _ in bad], [reason_text(problem.reason, problem.path) for _, problem in bad]
    )
