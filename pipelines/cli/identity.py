"""``unisono identity``: the match models, how they come and go."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Match models: train, look at, activate.", no_args_is_help=True)
    for name, command in (("train", train), ("models", models), ("activate", activate)):
        group.command(name)(command)
    app.add_typer(group, name="identity")


def train(
    entity: Annotated[str, typer.Argument(help="person or organization.")] = "person",
    anew: Annotated[bool, typer.Option("--anew", help="A candidate even if it says nothing new.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Learn a candidate model and show what it would merge and split; nothing is changed by it."""
    from pipelines.resolve.lifecycle import train as run_train

    with open_hub(config) as (hub, store):
        context = make_context(hub, store, progress=None if json else lambda message: say(f"  {message}"))
        report = run_train(context.for_entity(entity), anew=anew)
    if json:
        print(report.to_json())
        return
    told = report.details
    if told["stands"]:
        print(f"model {told['model']} stands: {report.counts['read']:,} records of {entity} say nothing else")
        _print_shift(told)
        return
    print(f"model {told['model']} ({told['origin']}), learned from {report.counts['read']:,} records of {entity}")
    if "shift" in told:
        _print_shift(told)
    _print_preview(told)
    print(f"activate it with: unisono identity activate {told['model']}")


def models(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List all models, oldest first."""
    from pipelines.store import identity

    with open_hub(config) as (hub, store):
        found = identity.models(store, hub.tenant_id)
    for one in found:
        if json:
            print(jsonlib.dumps(asdict(one), ensure_ascii=False, default=str))
        else:
            print(f"{one.model_id:>4}  {one.entity:<14} {one.status:<11} since commit {one.change_seq}")


def activate(
    number: Annotated[int, typer.Argument(metavar="N", help="Number of a model, as `models` shows them.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a model the one that scores and resolve everything with it; ids are carried over."""
    from pipelines.resolve.lifecycle import activate as run_activate
    from pipelines.stages import master

    with open_hub(config) as (hub, store):
        context = make_context(hub, store, progress=None if json else lambda message: say(f"  {message}"))
        reports = [run_activate(context, number), *master(context)]
    for report in reports:
        if json:
            print(report.to_json())
        elif report.entity == reports[0].entity:
            print(f"{report.stage:<10} {report.entity}  {_told(report.counts)}  ids: {report.details.get('ids', {})}")
        if report.error:
            say(f"error: {report.error}")
    worst = max(report.exit_code if report.error else 0 for report in reports)
    if worst:
        raise typer.Exit(worst)


def _told(counts: Any) -> str:
    return "  ".join(f"{name} {value:,}" for name, value in counts.items() if value)


def _print_shift(told: Any) -> None:
    """Say how far what was learned is from the active model."""
    moved = told["shift"]
    if moved["other"]:
        print(f"other than in the active model: {', '.join(moved['other'])}")
        return
    print(
        f"weights moved by {moved['matches']:.2f} bits in a match and {moved['strangers']:.2f} in a pair of strangers"
    )
    if not moved["threshold"]:
        print("the active model's threshold can be told from the best one")


def _print_preview(told: Any) -> None:
    print(f"{told['untouched']:,} of {told['entities']:,} entities would stay as they are")
    print(f"{told['merges']:,} groups would be merged:")
    for group in told["merge_examples"]:
        print(f"    {' + '.join(map(str, group))}")
    print(f"{told['splits']:,} entities would be split:")
    for each in told["split_examples"]:
        print(f"    {each['entity_id']} into {each['parts']}")
