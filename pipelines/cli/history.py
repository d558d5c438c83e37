"""``unisono as-of``, ``retract`` and ``erase``: look back, take back, destroy."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, say

if TYPE_CHECKING:
    from pipelines.context import StageContext
    from pipelines.report import StageReport

_Entity = Annotated[str, typer.Argument(help="person or organization.")]
_Id = Annotated[int, typer.Argument(metavar="ID", help="Golden id; an old one is followed.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("as-of")(as_of)
    app.command("retract")(retract)
    app.command("erase")(erase)


def as_of(
    entity: _Entity,
    identity: _Id,
    known: Annotated[
        str | None,
        typer.Option(metavar="SEQ|INSTANT", help="As known at this commit, or at this instant; now by default."),
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="What was true then; the newest known by default.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a golden record as it was known at one moment, of what was true at another."""
    from pipelines.history.past import as_of as run_as_of

    moment = None if known is None else int(known) if known.isdigit() else _instant("--known", known)
    true_at = None if valid is None else _instant("--valid", valid)
    with open_hub(config) as (hub, store):
        found = run_as_of(
            store, entity, identity, known=moment, valid=true_at, policy_path=hub.survivorship,
            channels_path=hub.channels, tenant_id=hub.tenant_id,
        )  # fmt: skip
    if json:
        print(jsonlib.dumps(asdict(found), ensure_ascii=False, default=str))
        return
    print(f"{entity} {found.entity_id}, as known at commit {found.known}, valid {found.valid or 'then'}")
    print(f"members: {', '.join(found.members)}")
    for name, value in found.values.items():
        if value not in (None, [], "{}") and name not in ("entity_id", "provenance"):
            print(f"{name:<20} {value}")
    for each in found.relationships:
        print(f"relationship         {each['type']} {each['role']}: {each['from_id']} -> {each['to_id']}")
    for each in found.contact_points:
        print(f"contact point        {each['kind']} {each['value']}: {each['state']}, {each['deliverability']}")


def retract(
    connection: Annotated[
        str | None, typer.Argument(help="The connection whose records are taken back.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Only records that date from then or later.", show_default=False),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept with the retraction.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what it would concern.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the connection's newest retraction.")] = False,
    every: Annotated[bool, typer.Option("--list", help="Show all retractions.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a bad source out of matching and golden records; its history stays and it can be undone."""
    from pipelines.history import retract as run_retract
    from pipelines.history import undo_retraction

    with open_hub(config) as (hub, store):
        if every or connection is None:
            _list_retractions(store, hub.tenant_id, as_json=json)
            return
        context = make_context(hub, store, progress=None if json else lambda message: say(f"  {message}"))
        if undo:
            report = undo_retraction(context, connection)
        else:
            moment = None if since is None else _instant("--since", since)
            report = run_retract(context, connection, since=moment, reason=reason, dry_run=dry_run)
        _print(report, as_json=json)
        if not dry_run:
            _master(context, as_json=json)


def erase(
    entity: _Entity,
    identity: _Id,
    reason: Annotated[str, typer.Option(help="Why; kept with the erasure, so write no name here.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Destroy what is personal of a golden record in store and landing; it cannot be undone."""
    from pipelines import erasure

    if not yes:
        typer.confirm(f"Destroy everything personal of {entity} {identity}, for ever?", abort=True)
    with open_hub(config) as (hub, store):
        context = make_context(hub, store, progress=None if json else lambda message: say(f"  {message}"))
        report = erasure.erase(context, entity, identity, reason=reason)
        _print(report, as_json=json)
        _master(context, as_json=json)
        erasure.finish(context, entity, report.details["entity_id"])


def _list_retractions(store: Any, tenant_id: int, *, as_json: bool) -> None:
    from pipelines.store import facts, retractions

    names = facts.connection_names(store, tenant_id=tenant_id)
    for one in retractions.retractions(store, tenant_id):
        if as_json:
            print(jsonlib.dumps(asdict(one), ensure_ascii=False, default=str))
            continue
        state = f"undone {one.undone_at}" if one.undone_at else "standing"
        since = f" since {one.since}" if one.since else ""
        name = names.get(one.connection_id, one.connection_id)
        print(f"{one.retraction_id:>4}  {name}{since}  {one.records:,} records  {one.retracted_at}  {state}")


def _master(context: StageContext, *, as_json: bool) -> None:
    from pipelines.stages import master

    failed = 0
    for report in master(context):
        _print(report, as_json=as_json)
        failed = failed or report.exit_code if report.error else failed
    if failed:
        raise typer.Exit(failed)


def _print(report: StageReport, *, as_json: bool) -> None:
    if as_json:
        print(report.to_json(), flush=True)
        return
    told = {**report.counts, **{name: value for name, value in report.details.items() if isinstance(value, int)}}
    unit = report.entity or report.connection or ""
    print(f"{report.stage:<10} {unit:<20} " + "  ".join(f"{name} {value:,}" for name, value in told.items() if value))
    if report.error:
        say(f"error: {report.error}")


def _instant(option: str, text: str) -> datetime:
    """Return an instant; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no instant; write 2026-01-31 or 2026-01-31T09:30:00Z"
        raise typer.BadParameter(message, param_hint=option) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
