"""``unisono quarantine``: see what could not be used, try it again after a fix, or give it up."""

from __future__ import annotations

import dataclasses
import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, person, say

if TYPE_CHECKING:
    from pipelines.config import HubConfig
    from pipelines.store import Store
    from pipelines.store.quarantine_reads import Entry, Filter

_Where = Annotated[
    str | None,
    typer.Argument(metavar="[CONNECTION[/STREAM]]", help="Only there; everywhere by default.", show_default=False),
]
_Reason = Annotated[
    str | None, typer.Option("--reason", help="Only entries whose reason holds this text.", show_default=False)
]
_Ids = Annotated[list[int], typer.Argument(metavar="ID…", help="Numbers of entries, as `list` shows them.")]
_SHOWN_BYTES = 100_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Records that could not be used: list, show, replay, discard.", no_args_is_help=True)
    for name, command in (("list", list_entries), ("show", show), ("replay", replay), ("discard", discard)):
        group.command(name)(command)
    app.add_typer(group, name="quarantine")


def list_entries(
    where: _Where = None,
    reason: _Reason = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that were mended, replayed or discarded.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many entries.", min=1)] = 100,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List entries, oldest first, after a count by reason."""
    from pipelines.store import quarantine_reads

    with open_hub(config) as (hub, store):
        wanted = _wanted(hub, store, where, reason, closed=every)
        found = quarantine_reads.entries(store, wanted, limit=limit, tenant_id=hub.tenant_id)
        reasons = quarantine_reads.summary(store, wanted, tenant_id=hub.tenant_id)
    if json:
        for entry in found:
            print(jsonlib.dumps(_row(entry), ensure_ascii=False))
        return
    for stage, connection, stream, why, path, count in reasons:
        print(f"{count:>7,}  {connection}/{stream}  {stage}  {_told(why, path)}")
    if found:
        print()
    for entry in found:
        print(_line(entry))
    if len(found) == limit:
        say(f"only the first {limit} are shown; --limit shows more")


def show(
    identity: Annotated[int, typer.Argument(metavar="ID", help="Number of an entry.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print everything known of one entry, its raw record last, as the vendor sent it."""
    from pipelines.store import quarantine_reads

    with open_hub(config) as (hub, store):
        entry = _entries(hub, store, [identity])[0]
        raw, parent = quarantine_reads.payloads(store, [identity], tenant_id=hub.tenant_id)[identity]
    row = _row(entry)
    if json:
        print(jsonlib.dumps({**row, "raw": _text(raw), "parent": _text(parent)}, ensure_ascii=False))
        return
    for name, value in row.items():
        if value is not None:
            print(f"{name:<16} {value}")
    if parent is not None:
        print(f"parent           {_text(parent)}")
    print(f"\n{_text(raw)}")


def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID…]", help="Only these entries.", show_default=False)
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="CONNECTION[/STREAM]", help="Only there.", show_default=False)
    ] = None,
    reason: _Reason = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read and map quarantined records again under the present rules; what goes through is as if it had never been bad.

    Golden records follow at once. Exit 0 when every chosen record went through, 1 when some are still bad.
    """
    from pipelines.stages import replay as run_replay
    from pipelines.store import quarantine_reads

    with open_hub(config) as (hub, store):
        if ids:
            _entries(hub, store, ids)
        wanted = _wanted(hub, store, at, reason, ids=ids or None, replayable=True)
        places = quarantine_reads.streams(store, wanted, tenant_id=hub.tenant_id)
        if not places:
            say("nothing to replay")
            return
        context = make_context(hub, store, progress=None if json else lambda message: say(f"  {message}"))
        context = dataclasses.replace(context, actor=person(), cause="replay")
        failed = False
        for report in run_replay(context, _units(hub, store, places), ids=ids or None, reason=reason):
            failed = failed or report.error is not None
            print(
                report.to_json() if json else f"{report.stage:<10} {_unit(report)}  {_counts(report.counts)}",
                flush=True,
            )
            if report.error:
                say(f"error: {report.error}")
        still = quarantine_reads.entries(
            store, _wanted(hub, store, at, reason, ids=ids or None), tenant_id=hub.tenant_id
        )
    if still:
        say(f"{len(still):,} are still bad: `unisono quarantine list` says why")
    if still or failed:
        raise typer.Exit(1)


def discard(
    ids: _Ids,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with your name.")],
    config: ConfigOption = None,
) -> None:
    """Give entries up for good; they stay visible with `list --all`, and the same content does not come back."""
    from pipelines.store import quarantine

    if not reason.strip():
        raise typer.BadParameter("say why in --reason")
    with open_hub(config) as (hub, store):
        _entries(hub, store, ids)
        scope = store.acquire("store/quarantine", tenant_id=hub.tenant_id)
        with scope as lease, store.write(lease, cause="discard", actor=person()) as tx:
            done = quarantine.discard(tx, ids, reason.strip())
    print(f"{done} discarded")
    if done < len(set(ids)):
        say(f"{len(set(ids)) - done} had been resolved already and were left as they are")


def _wanted(
    hub: HubConfig,
    store: Store,
    where: str | None,
    reason: str | None = None,
    *,
    ids: list[int] | None = None,
    closed: bool = False,
    replayable: bool = False,
) -> Filter:
    from pipelines.store.facts import connection_names
    from pipelines.store.quarantine_reads import Filter

    name, _, stream = (where or "").partition("/")
    if name and stream:
        hub.connection(name).connector.manifest.stream(stream)
    elif name:
        hub.connection(name)
    ids_of = {known: identity for identity, known in connection_names(store, tenant_id=hub.tenant_id).items()}
    connection_id = ids_of.get(name, name) or None
    return Filter(connection_id, stream or None, reason=reason, ids=ids, closed=closed, replayable=replayable)


def _entries(hub: HubConfig, store: Store, ids: list[int]) -> list[Entry]:
    """Return the named entries; one that is not there is an error naming it."""
    from connectors.sdk.errors import FixConfig
    from pipelines.store.quarantine_reads import Filter, entries

    found = entries(store, Filter(ids=ids, closed=True), tenant_id=hub.tenant_id)
    missing = sorted(set(ids) - {one.quarantine_id for one in found})
    if missing:
        what = f"quarantine has no entry {', '.join(map(str, missing))}"
        raise FixConfig(what, do="`unisono quarantine list --all` shows the numbers")
    return found


def _units(hub: HubConfig, store: Store, places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return connection names and streams that are configured; say which are not."""
    from pipelines.store.facts import connection_names

    names = connection_names(store, tenant_id=hub.tenant_id)
    known = {connection.name for connection in hub.connections}
    units = []
    for connection_id, stream in places:
        name = names.get(connection_id, connection_id)
        if name not in known or stream not in hub.connection(name).connector.manifest.streams:
            say(f"left out: {name}/{stream} is not configured any more")
            continue
        units.append((name, stream))
    return units


def _row(entry: Entry) -> dict[str, Any]:
    row = dict(entry.__dict__)
    for name in ("entered_at", "resolved_at"):
        row[name] = row[name].isoformat() if row[name] else None
    return {"id": row.pop("quarantine_id"), **row}


def _line(entry: Entry) -> str:
    place = f"{entry.connection_id}/{entry.stream}"
    state = (
        ""
        if entry.resolution is None
        else f"  [{entry.resolution}{': ' + entry.resolution_note if entry.resolution_note else ''}]"
    )
    return (
        f"{entry.quarantine_id:>7}  {place}  {entry.source_key or '(no key)'}  {_told(entry.reason, entry.path)}{state}"
    )


def _told(reason: str, path: str | None) -> str:
    return f"{path}: {reason}" if path else reason


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    cut = raw if len(raw) <= _SHOWN_BYTES else raw[:_SHOWN_BYTES] + f"… ({len(raw):,} bytes)".encode()
    return cut.decode("utf-8", "backslashreplace")


def _unit(report: Any) -> str:
    return str(report.entity or f"{report.connection}/{report.stream}")


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count:,}" for name, count in counts.items() if count)
