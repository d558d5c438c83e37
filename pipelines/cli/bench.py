"""``unisono bench`` and ``unisono match``: measure, and find out who is who in one's own files."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.common import JsonOption, say

if TYPE_CHECKING:
    from collections.abc import Mapping


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Measure this installation.", no_args_is_help=True)
    group.command("identity")(identity)
    group.command("pipeline")(pipeline)
    app.add_typer(group, name="bench")
    app.command("match")(match)


def identity(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds records.csv, truth.csv and dataset.yaml.")],
    json: JsonOption = False,
) -> None:
    """Match a labelled data set and score the result; the truth is read only to score."""
    from pipelines.resolve.bench import bench_identity

    _report(bench_identity(folder, progress=say), as_json=json)


def pipeline(
    records: Annotated[int, typer.Option(help="How many landed payloads.")] = 100_000,
    json: JsonOption = False,
) -> None:
    """Take landed payloads of the simulator's world to golden people, and time every stage."""
    from pipelines.bench_pipeline import bench_pipeline

    _report(bench_pipeline(records, progress=say), as_json=json)


def match(
    a: Annotated[Path, typer.Argument(metavar="A.csv")],
    b: Annotated[Path | None, typer.Argument(metavar="B.csv", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Print golden rows and matched pairs of one or two CSV files; no store is used."""
    from pipelines.resolve.match_files import match_files

    found = match_files(a, b)
    for kind in ("golden", "pairs"):
        for row in found[kind]:
            line = {"kind": kind.rstrip("s"), **row}
            print(jsonlib.dumps(line, ensure_ascii=False, default=str) if json else _words(line))
    say(f"{len(found['golden']):,} golden rows, {len(found['pairs']):,} matched pairs")


def _report(result: Mapping[str, object], *, as_json: bool) -> None:
    if not as_json:
        for name, value in result.items():
            say(f"{name:<20} {value}")
    print(jsonlib.dumps(result, ensure_ascii=False, default=str))


def _words(line: Mapping[str, object]) -> str:
    return "  ".join(f"{name}={value}" for name, value in line.items() if value not in (None, ""))
