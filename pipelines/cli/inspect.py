"""``unisono query``, ``explain`` and ``store``: look at what is there."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from pipelines.cli.common import ConfigOption, JsonOption, open_hub
from pipelines.cli.explain import explain


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("query")(query)
    app.command("explain")(explain)
    group = typer.Typer(help="Look after the master store.", no_args_is_help=True)
    group.command("digest")(digest)
    group.command("rename-connection")(rename_connection)
    app.add_typer(group, name="store")


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views v1_*.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run read-only SQL on the views v1_* and print the rows."""
    with open_hub(config) as (_, store):
        found = store.query(sql)
    columns, rows = list(found.columns), list(found.rows)
    if json:
        for row in rows:
            print(jsonlib.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str))
        return
    _print_table(columns, rows)


def digest(config: ConfigOption = None) -> None:
    """Print one hash per table over its meaning, to compare two stores."""
    from pipelines.store.digest import digest as run_digest

    with open_hub(config) as (_, store):
        for table, value in sorted(run_digest(store).items()):
            print(f"{value}  {table}")


def rename_connection(
    old: Annotated[str, typer.Argument(help="The name at present.")],
    new: Annotated[str, typer.Argument(help="The name from now on; change unisono.yaml too.")],
    config: ConfigOption = None,
) -> None:
    """Rename a connection; its records keep their references."""
    with open_hub(config) as (_, store):
        store.rename_connection(old, new)
    print(f"{old} is called {new} now")


def _print_table(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(soft_wrap=False).print(table)
