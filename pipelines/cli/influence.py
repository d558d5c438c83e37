"""``unisono relations``, ``hierarchy``, ``owner`` and ``influence``: the golden record of who is related to whom."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, open_hub

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.influence.accounts import Rollup
    from pipelines.store import Store

_AS_OF = typer.Option(
    "--as-of", metavar="DATE", help="As it was at this date or instant; else now.", show_default=False
)
AsOf = Annotated[str | None, _AS_OF]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("relations")(relations)
    app.command("hierarchy")(hierarchy)
    app.command("owner")(owner)
    app.command("influence")(influence)


def relations(
    identity: Annotated[int, typer.Argument(metavar="ID", help="Golden id of a person or organisation.")],
    as_of: AsOf = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print the relations of a party: kind, other party, dates, strength, who says it; all dates without --as-of."""
    from pipelines.store.influence_queries import relations_of

    at = None if as_of is None else _instant(as_of)
    with open_hub(config) as (hub, store):
        rows = relations_of(store, hub.tenant_id, [identity], at)
        names = _names(store, hub.tenant_id, {row[end] for row in rows for end in ("from_id", "to_id")})
    for row in rows:
        print(_dumped(row) if json else _relation(row, names))


def hierarchy(
    identity: Annotated[int, typer.Argument(metavar="ORG_ID", help="Golden id of an organisation.")],
    kind: Annotated[str, typer.Option(help="legal, sales or billing.")] = "legal",
    as_of: AsOf = None,
    sum_of: Annotated[
        str | None,
        typer.Option(
            "--sum", metavar="FACT", help="Roll up: opportunity.amount, order, ticket@requester.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print the tree below an organisation at a date, its way up, and facts rolled up over it."""
    from pipelines.influence.accounts import Measure, account_tree, roll_up

    at = _instant(as_of)
    with open_hub(config) as (hub, store):
        tree = account_tree(store, kind, at, tenant_id=hub.tenant_id)
        rolled = None
        if sum_of is not None:
            rolled = roll_up(store, identity, Measure.named(sum_of), kind, at, tenant_id=hub.tenant_id)
        places = list(tree.below(identity))
        names = _names(store, hub.tenant_id, {place.entity_id for place in places} | set(tree.path(identity)))
    if not json:
        print(" < ".join(_named(one, names) for one in tree.path(identity)))
    for place in places:
        row = {**asdict(place), "name": names.get(place.entity_id), **_rolled(rolled, place.entity_id)}
        print(_dumped(row) if json else f"{'  ' * place.depth}{_named(place.entity_id, names)}{_shown(row)}")


def owner(
    identity: Annotated[int, typer.Argument(metavar="ID", help="Golden id of a customer.")],
    as_of: AsOf = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say who is responsible for a customer and there at a date, and by which path; exit 1 if there is nobody."""
    from pipelines.influence.owner import nearest_owner

    with open_hub(config) as (hub, store):
        found = nearest_owner(store, identity, _instant(as_of), tenant_id=hub.tenant_id)
        if found is None:
            print("null" if json else "nobody")
            raise typer.Exit(1)
        ends = {end for step in found.path for end in (step.from_id, step.to_id)}
        names = _names(store, hub.tenant_id, ends | {*found.passed, found.person_id})
    if json:
        print(_dumped(asdict(found)))
        return
    print(_named(found.person_id, names))
    for step in found.path:
        print(f"  {_named(step.from_id, names)} -- {step.kind} -> {_named(step.to_id, names)}")
    for away in found.passed:
        print(f"  away: {_named(away, names)}")


def influence(
    identity: Annotated[int, typer.Argument(metavar="ORG_ID", help="Golden id of an organisation.")],
    as_of: AsOf = None,
    depth: Annotated[int, typer.Option(help="Most steps of a path.")] = 4,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print the people of an organisation with role, strength, manager, and the best way in from one of ours."""
    from pipelines.influence.people import influence_map

    with open_hub(config) as (hub, store):
        found = influence_map(store, identity, _instant(as_of), tenant_id=hub.tenant_id)
        names = _names(
            store, hub.tenant_id, {end for edge in found.edges for end in (edge.a, edge.b)} | set(found.team)
        )
    for member in found.members:
        way = found.best_way_in(member.person_id, depth=depth)
        if json:
            print(_dumped({**asdict(member), "way_in": None if way is None else asdict(way)}))
            continue
        roles = ", ".join(f"{role} {strength:.2f}" for role, strength in member.roles.items()) or "employee"
        manager = "" if member.reports_to is None else f", reports to {_named(member.reports_to, names)}"
        print(f"{member.name or ''} ({member.person_id}): {roles}{manager}")
        if way is not None:
            print(f"  {way.strength:.3f}: {' > '.join(_named(one, names) for one in way.people)}")


def _instant(text: str | None) -> datetime:
    """Read a date or instant; without a zone it is UTC; nothing is this moment."""
    if text is None:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no date: write 2026-01-31 or 2026-01-31T09:30:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _names(store: Store, tenant_id: int, ids: Iterable[int]) -> dict[int, str]:
    from pipelines.store.influence_queries import display_names

    return display_names(store, tenant_id, ids)


def _named(entity_id: int, names: dict[int, str]) -> str:
    return f"{names[entity_id]} ({entity_id})" if entity_id in names else str(entity_id)


def _relation(row: dict[str, Any], names: dict[int, str]) -> str:
    kind = " ".join(part for part in (row["type"], row["role"], row["hierarchy"]) if part)
    dates = f"{_date(row['valid_from'])}..{_date(row['valid_to'])}"
    conflict = f"  {row['conflict']} by {_named(row['conflict_with'], names)}" if row["conflict"] else ""
    ends = f"{_named(row['from_id'], names)} -- {kind} -> {_named(row['to_id'], names)}"
    return f"{row['strength']:.2f}  {ends}  {dates}  said by {row['sources']}{conflict}"


def _date(value: datetime | None) -> str:
    return "" if value is None else value.date().isoformat()


def _rolled(rolled: Rollup | None, entity_id: int) -> dict[str, Any]:
    if rolled is None:
        return {}
    parts = {"own": rolled.own(entity_id), "total": rolled.total(entity_id)}
    return {
        name: {unit: {"facts": one.facts, "total": str(one.total)} for unit, one in sums.items()}
        for name, sums in parts.items()
    }


def _shown(row: dict[str, Any]) -> str:
    total = row.get("total", {})
    return "".join(f"  {one['total']} {unit} ({one['facts']})" for unit, one in total.items())


def _dumped(row: dict[str, Any]) -> str:
    return jsonlib.dumps(row, ensure_ascii=False, default=str)
