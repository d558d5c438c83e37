"""``unisono sync``: the whole flow, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.config import ConnectionConfig, HubConfig
    from pipelines.report import StageReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sync")(sync)


def sync(
    connections: Annotated[
        list[str] | None, typer.Argument(help="Connections to sync; all by default.", show_default=False)
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read and recompute everything; the result must be the same.")
    ] = False,
    accept_deletes: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-deletes",
            metavar="CONNECTION/STREAM",
            help="Let through deletes that the fuse held back; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Fetch, normalise, resolve and make golden; exit 0 only if every load that is not optional is COMPLETE."""
    from pipelines.stages import sync as run_sync

    with open_hub(config) as (hub, store):
        chosen = _choose(hub, connections)
        context = make_context(hub, store, full=full, progress=None if json else lambda message: say(f"  {message}"))
        context = replace(context, accept_deletes=_units(hub, accept_deletes or []))
        code = _print(run_sync(context, chosen), hub, as_json=json)
    if code:
        raise typer.Exit(code)


def _units(hub: HubConfig, names: list[str]) -> frozenset[str]:
    """Return the units named ``CONNECTION/STREAM``; one that the hub does not have is refused."""
    for name in names:
        connection, _, stream = name.partition("/")
        hub.connection(connection).connector.manifest.stream(stream)
    return frozenset(names)


def _choose(hub: HubConfig, names: list[str] | None) -> tuple[ConnectionConfig, ...]:
    return tuple(hub.connection(name) for name in names) if names else hub.connections


def _print(reports: Iterable[StageReport], hub: HubConfig, *, as_json: bool) -> int:
    """Print the reports and return the worst exit code of those that count."""
    code = 0
    for report in reports:
        if not report.ok and not _optional(report, hub):
            code = worse(code, report.exit_code)
        if as_json:
            print(report.to_json(), flush=True)
        else:
            print(_line(report), flush=True)
        if report.error:
            say(f"error: {report.error}")
    return code


def worse(one: int, other: int) -> int:
    """Return the exit code that says more: 2 (someone must act), 1, 75 (only wait: the vendor said when), 0."""
    return max(one, other, key=(0, 75, 1, 2).index)


def _optional(report: StageReport, hub: HubConfig) -> bool:
    if report.connection is None or report.stream is None:
        return False
    return hub.connection(report.connection).connector.manifest.streams[report.stream].optional


def _line(report: StageReport) -> str:
    unit = report.entity or f"{report.connection}/{report.stream}"
    counts = "  ".join(f"{name} {count:,}" for name, count in report.counts.items() if count)
    verdict = "FAILED" if report.error else report.completeness or ""
    return f"{report.stage:<10} {unit:<32} {verdict:<10} {counts}  ({report.seconds:.1f} s)"
