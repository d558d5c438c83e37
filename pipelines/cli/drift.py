"""``unisono drift``: how the vendors' payloads have changed, and what the vendors announce."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, open_hub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.store.profiles import DriftEvent, Notice


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drift")(drift)


def drift(
    where: Annotated[
        str | None,
        typer.Argument(metavar="[CONNECTION[/STREAM]]", help="Only there; everywhere by default.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also notes, and what was accepted or has healed.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Say that what is shown is meant; it is not reported again.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Report changes of the payloads' structure and values, and the ends that vendors announce in their headers.

    Exit 1 when a path that the mapping reads broke and nobody accepted it.
    """
    from pipelines.store import profiles
    from pipelines.store.facts import connection_names

    with open_hub(config) as (hub, store):
        names = connection_names(store, tenant_id=hub.tenant_id)
        name, _, stream = (where or "").partition("/")
        if name:
            hub.connection(name)
        place = (next((key for key, known in names.items() if known == name), name) or None, stream or None)
        events = profiles.events(store, *place, every=every, tenant_id=hub.tenant_id)
        events = [one for one in events if every or one.level != "note"]
        notices = profiles.notices(store, *place, tenant_id=hub.tenant_id)
        if accept and events:
            scope = store.acquire("store/drift", tenant_id=hub.tenant_id)
            with scope as lease, store.write(lease, cause="accept", actor="cli") as tx:
                profiles.close_events(tx, [one.drift_event_id for one in events], profiles.ACCEPTED)
    now = datetime.now(UTC)
    if json:
        rows = [_event(one, names) for one in events] + [_notice(one, names, now) for one in notices]
        for row in rows:
            print(jsonlib.dumps(row, ensure_ascii=False, default=str))
    else:
        _print(events, notices, names, now)
    if not accept and any(one.level == "error" and one.status == profiles.OPEN for one in events):
        raise typer.Exit(1)


def _print(events: list[DriftEvent], notices: list[Notice], names: Mapping[str, str], now: datetime) -> None:
    for one in events:
        place = f"{names.get(one.connection_id, one.connection_id)}/{one.stream}"
        told = ", ".join(f"{name} {value}" for name, value in one.detail.items())
        state = "" if one.status == "open" else f" [{one.status}]"
        mapped = " (mapped)" if one.mapped else ""
        print(f"{one.level:<6} {place}  {one.path}  {one.kind}{mapped}{state}: {told}")
    for notice in notices:
        place = f"{names.get(notice.connection_id, notice.connection_id)}/{notice.stream}"
        left = notice.days_left(now)
        when = "" if left is None else f", {left} days left" if left >= 0 else f", since {-left} days"
        link = f" ({notice.link})" if notice.link else ""
        print(f"notice {place}  {notice.endpoint}  {notice.header}: {notice.value}{when}{link}")
    if not events and not notices:
        print("no drift, no announcements")


def _event(one: DriftEvent, names: Mapping[str, str]) -> dict[str, Any]:
    row = {**one.__dict__, "connection": names.get(one.connection_id, one.connection_id)}
    row["id"] = row.pop("drift_event_id")
    return {"type": "drift", **row}


def _notice(one: Notice, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    row = {**one.__dict__, "connection": names.get(one.connection_id, one.connection_id)}
    return {"type": "notice", **row, "days_left": one.days_left(now)}
