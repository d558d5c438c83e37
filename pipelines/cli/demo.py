"""``unisono demo`` and ``unisono ui``: the whole product on six simulated vendors, and the UI on its history."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.common import say
from pipelines.process_group import interrupted_by_any_end, run_group

if TYPE_CHECKING:
    from pipelines.store import Store
    from pipelines.store.facts import Overview

_UI_PORT = 3000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("ui")(ui)


def demo() -> None:
    """Sync six simulated vendors into ./data through Dagster and show what came out; again: only what changed."""
    from pipelines import demo as home

    began = time.monotonic()
    state = home.DemoState.read()
    home.write_home(state.port)
    _announce(state.runs)
    with interrupted_by_any_end(), home.simulator(state) as url:
        if state.runs:
            home.advance(url)
        state = replace(state, runs=state.runs + 1)
        code = run_group([sys.executable, "-m", "dagster_project.run"], home.environment() | {"UNISONO_PROGRESS": "1"})
    state.write()
    _show(first=state.runs == 1)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Next:")
    print("  make ui                                        the Dagster UI on this history")
    print('  .venv/bin/unisono --config data/unisono.yaml query "select * from v1_person limit 5"')
    print("  make demo                                      again: loads only what changed")
    raise typer.Exit(code)


def ui(
    port: Annotated[
        int, typer.Option(help="Port of the Dagster UI on 127.0.0.1.", envvar="UNISONO_UI_PORT")
    ] = _UI_PORT,
) -> None:
    """Bring the simulated vendors and Dagster back on the demo's history, so that Materialize works."""
    from pipelines import demo as home

    state = home.DemoState.read()
    if not home.DEMO_CONFIG.is_file():
        home.write_home(state.port)
        say("the demo has not been run yet: the graph is there, the history is empty; `make demo` fills it")
    command = [sys.executable, "-m", "dagster", "dev", "-m", home.CODE_LOCATION, "-h", "127.0.0.1", "-p", str(port)]
    with interrupted_by_any_end(), home.simulator(state) as url:
        say(f"vendors:  {url}\nDagster:  http://127.0.0.1:{port}   (Ctrl-C ends both)")
        try:
            code = run_group(command, home.environment())
        except KeyboardInterrupt:
            code = 0
    raise typer.Exit(code)


def _announce(runs: int) -> None:
    if runs:
        say(f"Demo no. {runs + 1}: the vendors' world has moved on; only what changed is loaded.")
    else:
        say("Six simulated vendors, about 2,000 people: fetching over HTTP, then normalise, resolve, golden.")


def _show(*, first: bool) -> None:
    from pipelines.config import load_config
    from pipelines.demo import DEMO_CONFIG
    from pipelines.store import Store
    from pipelines.store.facts import overview

    config = load_config(DEMO_CONFIG)
    store = Store.open(config.store_url)
    try:
        found = overview(store)
        _print_overview(found, first=first)
        _print_example(store, found)
    finally:
        store.close()


def _print_overview(found: Overview, *, first: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("vendor", "records", "loaded now", "unchanged", "quarantined", "streams", "stale or incomplete")
    for row in found.connections:
        numbers = (row.live_records, row.loaded, row.unchanged, row.quarantined)
        table.add_row(
            row.name, *(f"{number:,}" for number in numbers), str(row.streams), ", ".join(row.incomplete) or "nothing"
        )
    Console().print(table)
    print(
        f"{found.customer_records:,} customer records → {found.golden_people:,} golden people "
        f"({found.merges:,} records joined others) and {found.golden_organizations:,} organisations; "
        f"{found.quarantined:,} records wait in quarantine."
    )
    if not first:
        loaded = sum(row.loaded for row in found.connections)
        print(f"This run loaded {loaded:,} changed or new records; the rest was unchanged and was left alone.")


def _print_example(store: Store, found: Overview) -> None:
    if found.example_person is None:
        return
    from pipelines.golden.explain import explain

    cells: list[dict[str, Any]] = explain(store, "person", str(found.example_person))
    print(f"\nOne golden record, person {found.example_person}, and where each cell came from:")
    for cell in cells:
        print(f"  {cell['term']:<18} {str(cell['value'])[:40]:<40} {cell['source']}  by {cell['rule']}")
