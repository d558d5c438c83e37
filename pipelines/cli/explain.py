"""``unisono explain``: where a golden cell comes from, why two records are one party or two, and who lives together."""

from __future__ import annotations

import json as jsonlib
from datetime import datetime
from typing import Annotated, Any

import typer

from connectors.sdk.errors import FixConfig
from pipelines.cli.common import ConfigOption, JsonOption, open_hub

PAIR, CHANNELS, HOUSEHOLD = "pair", "channels", "household"


def explain(
    entity: Annotated[
        str, typer.Argument(help="person or organization; 'household'; or 'pair' for two source records.")
    ],
    identity: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Golden id, an old one is followed; of a household, its id or a person's; of a pair, the first record.",
        ),
    ],
    field: Annotated[
        str | None,
        typer.Argument(
            help="One term, all by default; 'channels': how to reach it and what it allows; of a pair, the second record.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say where each cell of a golden record comes from, and what lost; or why two source records are together or apart.

    Of a household it says who is in it, by which evidence, why others are not, and since when: `unisono explain household 17`.

    A record of a pair is named by its number or by its reference connection/object/key: `unisono explain pair
    crm/contact/17 desk/user/4`.
    """
    if entity == PAIR:
        _explain_pair(identity, field, config, json=json)
        return
    if entity == HOUSEHOLD:
        _explain_household(identity, field, config, json=json)
        return
    if field == CHANNELS:
        _explain_channels(entity, identity, config, json=json)
        return
    from pipelines.golden.explain import explain as run_explain

    with open_hub(config) as (hub, store):
        cells = run_explain(store, entity, identity, field, policy_path=hub.survivorship, tenant_id=hub.tenant_id)
    for cell in cells:
        print(jsonlib.dumps(cell, ensure_ascii=False, default=str) if json else _cell(cell))


def _explain_channels(entity: str, identity: str, config: Any, *, json: bool) -> None:
    from pipelines.channels.explain import explain_channels, line

    with open_hub(config) as (hub, store):
        rows = explain_channels(store, entity, identity, tenant_id=hub.tenant_id)
    for row in rows:
        print(jsonlib.dumps(row, ensure_ascii=False, default=str) if json else line(row))


def _explain_household(identity: str, field: str | None, config: Any, *, json: bool) -> None:
    from pipelines.resolve.household_explain import explain_household, lines

    if field is not None:
        raise FixConfig(f"a household has no '{field}'", do=f"ask for the whole: unisono explain household {identity}")
    with open_hub(config) as (hub, store):
        told = explain_household(store, identity, tenant_id=hub.tenant_id)
    print(jsonlib.dumps(told, ensure_ascii=False, default=str) if json else "\n".join(lines(told)))


def _explain_pair(left: str, right: str | None, config: Any, *, json: bool) -> None:
    from pipelines.resolve.pair import explain_pair

    if right is None:
        raise FixConfig("a pair is two records", do="name both: unisono explain pair LEFT RIGHT")
    with open_hub(config) as (hub, store):
        told = explain_pair(store, left, right, policy_path=hub.identity, tenant_id=hub.tenant_id)
    print(jsonlib.dumps(told, ensure_ascii=False, default=str) if json else _pair(told))


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _cell(cell: dict[str, Any]) -> str:
    lines = [
        f"{cell['term']} = {_shown(cell['value'])}  from {cell['source']} by {cell['rule']}, since {cell['since']}"
    ]
    if "pin" in cell:
        pin = cell["pin"]
        ends = f", until {pin['expires_at']}" if pin["expires_at"] else ""
        lines.append(f"    pinned by {pin['by']} ({pin['reason']}), decision {pin['decision_id']}{ends}")
        lines += ["    look again: a source that the pin overrules says something else since"] if pin["moved"] else []
    for other in cell.get("losers", []):
        how = "agrees" if other["rule"] == "agreed" else f"lost by {other['rule']}"
        lines.append(f"    {how}: {_shown(other['value'])}  {other['source']}, since {other['since']}")
    lines += [f"    from {other['source']}: {_shown(other['value'])}" for other in cell.get("contributors", [])]
    lines += [f"    pin {pin['decision_id']} not applied: {pin['problem']}" for pin in cell.get("unusable_pins", [])]
    return "\n".join(lines)


def _pair(told: dict[str, Any]) -> str:
    left, right = told["left"], told["right"]
    where = f"one {told['entity']}, {left['entity_id']}" if told["together"] else (
        f"two: {told['entity']} {left['entity_id']} and {right['entity_id']}"
    )  # fmt: skip
    lines = [f"{left['source_ref']} and {right['source_ref']} are {where}", *map(_reason, told["because"])]
    lines += [f"  step: {step['left']} and {step['right']}  {_evidence(step)}" for step in told["path"]]
    lines += _waterfall(told["waterfall"]) if told["waterfall"] else ["no score: a stub, or nothing to compare"]
    lines.append(f"counts for {told['counts']['total']} in the partition:")
    lines += [
        f"  {one['weight']:+9.3f} {one['total']:9.3f}  {one['name']}: {one['why']}" for one in told["counts"]["steps"]
    ]
    for each in told["shared"]:
        against = f"; no link: {', '.join(each['against'])}" if each["against"] else ""
        lines.append(
            f"shared {each['kind']} {each['value']}: {each['records']} records, {each['count']} {each['counted']}, "
            f"limit {each['limit']} of rule {each['rule']}{against}"
        )
    lines += [
        f"{each['system']} differs: {', '.join(each['left'])} and {', '.join(each['right'])}"
        for each in told["contradictions"]
    ]
    return "\n".join(lines)


def _reason(reason: dict[str, Any]) -> str:
    rest = {name: value for name, value in reason.items() if name not in ("reason", "left_id", "right_id")}
    return f"  because of {reason['reason']}: " + ", ".join(f"{name} {value}" for name, value in rest.items())


def _evidence(step: dict[str, Any]) -> str:
    return f"by rule {step['rule']}" if "rule" in step else f"score {step['weight']}"


def _waterfall(fall: dict[str, Any]) -> list[str]:
    lines = [f"score {fall['score']} (threshold {fall['threshold']}, probability {fall['probability']}), step by step:"]
    for step in fall["steps"]:
        frequency = step["term_frequency"]
        often = f"  of it {frequency['weight']:+} for how common the value is" if frequency else ""
        values = "" if step["left"] is None and step["right"] is None else f"{step['left']!r} / {step['right']!r}"
        lines.append(f"  {step['weight']:+9.3f} {step['total']:9.3f}  {step['name']}: {step['level']}  {values}{often}")
    if fall["as_in_ledger"] is False:
        lines.append(
            f"  the ledger says {fall['in_ledger']}: the records have changed since; the next sync decides anew"
        )
    return lines
