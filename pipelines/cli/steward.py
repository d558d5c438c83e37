"""``unisono review``, ``decide``, ``undo``, ``decisions``: what data stewards decide, and take back."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, person, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipelines.context import StageContext
    from pipelines.steward import Outcome
    from pipelines.steward.queue import Item

_Entity = Annotated[str, typer.Option("--entity", help="person or organization.")]
_Seen = Annotated[int, typer.Option("--seen", help="The version you looked at, as `review` shows it.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with your name.")]
_Key = Annotated[
    str | None,
    typer.Option("--request", help="Key of this request: repeated, it is carried out once.", show_default=False),
]
_Later = Annotated[bool, typer.Option("--later", help="Leave the golden records to the next sync.")]
_PARTY = "connection/object/key, r<number of a record>, or a golden id."
_Left = Annotated[str, typer.Argument(metavar="LEFT", help=_PARTY)]
_Right = Annotated[str, typer.Argument(metavar="RIGHT", help=_PARTY)]
_Party = Annotated[str, typer.Argument(metavar="PARTY", help=_PARTY)]
_Term = Annotated[str, typer.Argument(metavar="TERM", help="A term of the golden record.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    reviews = typer.Typer(help="What is worth a person's time: list, show.", no_args_is_help=True)
    reviews.command("list")(list_items)
    reviews.command("show")(show)
    app.add_typer(reviews, name="review")
    verbs = typer.Typer(help="Decide for ever: match, no-match, unsure, split, pin, unpin.", no_args_is_help=True)
    for name, command in (
        ("match", match), ("no-match", no_match), ("unsure", unsure), ("split", split), ("pin", pin), ("unpin", unpin),
    ):  # fmt: skip
        verbs.command(name)(command)
    app.add_typer(verbs, name="decide")
    app.command("undo")(undo)
    app.command("decisions")(list_decisions)


def list_items(
    entity: _Entity = "person",
    limit: Annotated[int, typer.Option(help="At most so many questions.", min=1)] = 20,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the questions whose answers are worth most: expected error times what the answer touches."""
    from pipelines.steward.queue import review

    with open_hub(config) as (hub, store):
        queue = review(make_context(hub, store).for_entity(entity))
    for item in queue.items[:limit]:
        print(jsonlib.dumps({**asdict(item), "worth": item.worth, "seen": queue.seen}) if json else _line(item))
    if not json:
        counted = ", ".join(f"{count} {kind}" for kind, count in queue.counts.items()) or "nothing"
        say(f"{counted}; {queue.pairs:,} pairs in the ledger, {queue.left_out:,} questions worth less left out")


def show(
    parties: Annotated[list[str], typer.Argument(metavar="PARTY…", help=_PARTY)],
    entity: _Entity = "person",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show records beside each other: their key data, the evidence between them, and what was decided before."""
    from pipelines.steward.show import show as look

    with open_hub(config) as (hub, store):
        case = look(make_context(hub, store).for_entity(entity), parties)
    if json:
        print(jsonlib.dumps(asdict(case), ensure_ascii=False, default=str))
        return
    for record in case.records:
        print(f"r{record.source_record_id}  {record.source_ref}  {entity} {record.entity_id}")
        for term, values in case.facts[record.source_record_id].items():
            print(f"    {term:<14} {', '.join(values)}")
    for row in case.evidence:
        weight = "" if row["weight"] is None else f"  weight {row['weight']}"
        print(f"r{row['left_id']} r{row['right_id']}  {row['kind']} {row['rule'] or ''}  {row['judgement']}{weight}")
    for one in case.decisions:
        print(_decision(one.__dict__))
    print(f"\nseen {case.seen}: hand it to `unisono decide … --seen {case.seen}`")


def match(
    left: _Left, right: _Right, seen: _Seen, reason: _Reason, entity: _Entity = "person",
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Two records are one party."""
    from pipelines import steward

    _act(
        config, entity, lambda it: steward.match(it, left, right, seen=seen, reason=reason, request_key=request), later
    )


def no_match(
    left: _Left, right: _Right, seen: _Seen, reason: _Reason, entity: _Entity = "person",
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Two records are two parties, by whatever path."""
    from pipelines import steward

    _act(
        config,
        entity,
        lambda it: steward.no_match(it, left, right, seen=seen, reason=reason, request_key=request),
        later,
    )


def unsure(
    left: _Left, right: _Right, seen: _Seen, reason: _Reason, entity: _Entity = "person",
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Nobody can say: the pair is not linked automatically and not asked about again."""
    from pipelines import steward

    _act(
        config, entity, lambda it: steward.unsure(it, left, right, seen=seen, reason=reason, request_key=request), later
    )


def split(
    groups: Annotated[list[str], typer.Argument(metavar="GROUP…", help="Records of one party, joined by commas.")],
    seen: _Seen, reason: _Reason, entity: _Entity = "person",
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Records are several parties: each group is one."""
    from pipelines import steward

    named = [[name.strip() for name in group.split(",") if name.strip()] for group in groups]
    _act(config, entity, lambda it: steward.split(it, named, seen=seen, reason=reason, request_key=request), later)


def pin(
    party: _Party, term: _Term, value: Annotated[str, typer.Argument(metavar="VALUE", help="In canonical form.")],
    *,
    seen: _Seen, reason: _Reason, entity: _Entity = "person",
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"], help="Until then.", show_default=False)
    ] = None,
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Fix the value of a golden record's attribute."""
    from datetime import UTC

    from pipelines import steward
    from pipelines.steward.values import read_value

    until = expires if expires is None or expires.tzinfo else expires.replace(tzinfo=UTC)

    def act(context: StageContext) -> Outcome:
        given = read_value(entity, term, value)
        return steward.pin(context, party, term, given, seen=seen, reason=reason, expires_at=until, request_key=request)

    _act(config, entity, act, later)


def unpin(
    party: _Party, term: _Term, seen: _Seen, reason: _Reason, entity: _Entity = "person",
    request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Take a pin off: the rules choose the value again."""
    from pipelines import steward

    _act(
        config, entity, lambda it: steward.unpin(it, party, term, seen=seen, reason=reason, request_key=request), later
    )


def undo(
    decision: Annotated[int, typer.Argument(metavar="DECISION", help="Its number, as `decisions` shows it.")],
    seen: _Seen, reason: _Reason, request: _Key = None, later: _Later = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Take a decision back; what it had replaced binds again."""
    from pipelines import steward

    _act(config, None, lambda it: steward.undo(it, decision, seen=seen, reason=reason, request_key=request), later)


def list_decisions(
    entity: Annotated[str | None, typer.Option("--entity", help="Only of it.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those taken back or replaced.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what people decided: who, when, why, and whether it binds."""
    from pipelines.store import decisions, identity

    with open_hub(config) as (hub, store):
        seen = identity.last_change(store, hub.tenant_id)
        found = decisions.listed(store, hub.tenant_id, entity, closed=every)
    for one in found:
        print(jsonlib.dumps(one.__dict__, ensure_ascii=False, default=str) if json else _decision(one.__dict__))
    if not json:
        say(f"seen {seen}")


def _act(config: Path | None, entity: str | None, act: Callable[[StageContext], Outcome], later: bool) -> None:
    """Carry an action out, say what came of it, and bring the golden records up to date."""
    with open_hub(config) as (hub, store):
        context = replace(make_context(hub, store), actor=person(), cause="decide", entity=entity)
        outcome = act(context)
        print(_decision(outcome.decision.__dict__))
        if outcome.repeated:
            say("this request had been carried out before")
        for each in outcome.contradictions:
            numbers = ", ".join(map(str, (*each.together, *each.apart)))
            records = ", ".join(f"r{one}" for one in each.records)
            say(f"decisions {numbers} contradict each other: {records} are kept apart until one of them is undone")
        failed = False if later else _follow(context.for_entity(outcome.decision.entity))
    if failed:
        raise typer.Exit(1)


def _follow(context: StageContext) -> bool:
    """Run resolve and what comes after it for the entity; True if a stage failed."""
    from pipelines.stages import STAGES, Phase, run_stage

    failed = False
    for stage in STAGES:
        if stage.phase is Phase.MASTER:
            report = run_stage(stage, context)
            failed = failed or report.error is not None
            say(f"{stage.name}: {report.error or ', '.join(f'{name} {n:,}' for name, n in report.counts.items() if n)}")
    return failed


def _line(item: Item) -> str:
    records = " ".join(f"r{one}" for one in item.records)
    return f"{item.worth:>8.1f}  {item.kind:<10} {records}  {item.why}"


def _decision(one: dict[str, Any]) -> str:
    """Write a decision on one line."""
    about = [f"r{one[side]}" for side in ("left_id", "right_id") if one[side] is not None]
    about += [",".join(f"r{record}" for record in group) for group in one["groups"]]
    if one["term"] is not None:
        about.append(f"{one['term']} = {jsonlib.dumps(one['value'], ensure_ascii=False)}")
        about += [f"until {one['expires_at']:%Y-%m-%d}"] if one["expires_at"] else []
    closed = "" if one["known_to"] is None else f"  [closed by {one['closed_by']}: {one['closed_why']}]"
    return f"{one['decision_id']:>6}  {one['kind']:<8} {' '.join(about)}  {one['actor']}: {one['reason']}{closed}"
