"""``unisono connectors``, ``check`` and ``map``: what an integrator works with."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import JsonOption, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.catalog import ConnectorFolder

_PathOption = Annotated[
    list[Path] | None, typer.Option("--path", help="A folder with connectors of your own.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="List connectors and start new ones.", no_args_is_help=True)
    group.command("list")(list_connectors)
    group.command("new")(new)
    group.command("diff")(diff)
    app.add_typer(group, name="connectors")
    app.command("check")(check)
    app.command("map")(map_records)


def list_connectors(
    json: JsonOption = False,
    path: _PathOption = None,
    tier: Annotated[
        bool, typer.Option("--tier", help="Check those whose tier is not known for these very files.")
    ] = False,
) -> None:
    """Print name, title, category, tier and streams of every connector that can be found."""
    for folder in _known(path).values():
        row = _describe(folder, compute=tier)
        print(jsonlib.dumps(row, ensure_ascii=False) if json else _line(row))


def new(
    name: Annotated[str, typer.Argument(help="The vendor's name: lower case letters, digits and _.")],
    root: Annotated[Path, typer.Option(help="Where the folder is made.")] = Path("connectors"),
) -> None:
    """Write the folder of a new connector, with the file names every connector has."""
    from connectors.sdk.scaffold import new_connector

    folder = new_connector(name, root)
    print(folder)
    say(f"next: put fixtures into {folder}/fixtures, then `unisono check {name} --path {root}` names what is missing")


def diff(
    old: Annotated[Path | None, typer.Argument(help="A connector's folder as it was.", show_default=False)] = None,
    new: Annotated[Path | None, typer.Argument(help="The same connector as it is.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="REV", help="Compare all connectors with a git revision instead.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say whether changes of a connector are major, minor or patch; exit 1 if its version was not raised as far."""
    from pipelines.cli.versions import folders_since, verdict_of

    if since is None and (old is None or new is None):
        raise typer.BadParameter("name two folders, or say --since REV")
    pairs = folders_since(since) if since is not None else [(old, new)]
    bad = False
    for before, after in pairs:
        name, verdict = verdict_of(before, after)
        bad = bad or not verdict.ok
        if json:
            print(jsonlib.dumps({"connector": name, **verdict.as_json()}, ensure_ascii=False))
            continue
        said = f"{verdict.old_version} → {verdict.new_version}"
        print(f"{name:<12} needs {verdict.needed:<6} {said:<18} {'ok' if verdict.ok else 'NOT RAISED FAR ENOUGH'}")
        for change in verdict.changes:
            print(f"  {change.level:<6} {change.where}: {change.what}")
    if bad:
        raise typer.Exit(1)


def check(
    name: Annotated[str | None, typer.Argument(help="A connector's name, or a folder.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Check all connectors.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Write the expected rows of the fixtures anew.")] = False,
    json: JsonOption = False,
    path: _PathOption = None,
    tier: Annotated[str, typer.Option(help="Also exit 1 below this tier: bronze, silver or gold.")] = "none",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the rules that pass or do not apply, too.")] = False,
) -> None:
    """Run the conformance rules; exit 1 and name the rule and its page where one fails."""
    from connectors.sdk.testing.conformance import check as run_check
    from connectors.sdk.testing.fixtures import write_expected
    from connectors.sdk.testing.tiers import remember

    folders = _chosen(name, path, every=every)
    if update:
        for folder in folders:
            for changed in write_expected(folder):
                say(f"written: {changed}; read it before you commit it")
    reports = [run_check(folder.path) for folder in folders]
    for report in reports:
        print(jsonlib.dumps(report.as_json(), ensure_ascii=False) if json else report.text(every=verbose))
    remember([(folder.path, report) for folder, report in zip(folders, reports, strict=True)])
    if not all(report.ok and report.reaches(tier) for report in reports):
        raise typer.Exit(1)


def map_records(
    connector: Annotated[str, typer.Argument(help="A connector's name.")],
    stream: Annotated[str, typer.Argument(help="One of its streams.")],
    sql: Annotated[bool, typer.Option("--sql", help="Print the compiled SQL instead.")] = False,
    path: _PathOption = None,
) -> None:
    """Map JSON lines from stdin to canonical rows on stdout; a report of every path goes to stderr."""
    from canonical_model import load_vocabulary
    from connectors.sdk.errors import FixConfig
    from connectors.sdk.mapping import compile_stream, map_lines
    from connectors.sdk.yaml_lines import suggest

    folder = _find(connector, _known(path))
    if stream not in folder.manifest.streams:
        do = suggest(stream, list(folder.manifest.streams))
        raise FixConfig(f"{connector} has no stream '{stream}'", do=do)
    if sql:
        print(compile_stream(folder.mapping, stream, load_vocabulary()).sql)
        return
    preview = map_lines(folder, stream, sys.stdin)
    for row in preview.rows:
        print(jsonlib.dumps(row, ensure_ascii=False))
    print(jsonlib.dumps(preview.report, ensure_ascii=False), file=sys.stderr)


def _known(path: list[Path] | None) -> Mapping[str, ConnectorFolder]:
    from connectors.sdk.catalog import find_connectors

    return find_connectors(tuple(path or ()))


def _find(name: str, known: Mapping[str, ConnectorFolder]) -> ConnectorFolder:
    from connectors.sdk.errors import FixConfig
    from connectors.sdk.yaml_lines import suggest

    if name not in known:
        raise FixConfig(f"no connector '{name}'", do=suggest(name, sorted(known)))
    return known[name]


def _chosen(name: str | None, path: list[Path] | None, *, every: bool) -> list[ConnectorFolder]:
    if every:
        return list(_known(path).values())
    if name is None:
        raise typer.BadParameter("name a connector, or say --all")
    if Path(name).is_dir():
        return [_find(Path(name).name, _known([Path(name).parent]))]
    return [_find(name, _known(path))]


def _describe(folder: ConnectorFolder, *, compute: bool = False) -> dict[str, Any]:
    manifest = folder.manifest
    return {
        "name": manifest.name,
        "title": manifest.title,
        "category": manifest.category,
        "tier": _tier(folder, compute=compute),
        "streams": list(manifest.streams),
        "config_schema": manifest.config_schema,
    }


def _tier(folder: ConnectorFolder, *, compute: bool) -> str:
    from connectors.sdk.testing.tiers import UNCHECKED, known_tier, remember

    known = known_tier(folder.path)
    if known != UNCHECKED or not compute:
        return known
    from connectors.sdk.testing.conformance import check as run_check

    report = run_check(folder.path)
    remember([(folder.path, report)])
    return report.tier


def _line(row: Mapping[str, Any]) -> str:
    return f"{row['name']:<12} {row['category']:<12} {row['tier']:<9} {', '.join(row['streams'])}"
