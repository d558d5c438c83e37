"""``unisono export``: golden tables to a warehouse, a lake or a file, by way of dlt's destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.common import ConfigOption, JsonOption, make_context, open_hub, say

if TYPE_CHECKING:
    from pipelines.config import HubConfig
    from pipelines.dlt_bridge.target import Target
    from pipelines.report import StageReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    entities: Annotated[
        list[str] | None, typer.Argument(help="Golden entities; all by default.", show_default=False)
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="A name under exports: in the configuration, or a dlt destination that dlt configures."
        ),
    ] = ...,  # type: ignore[assignment]
    dataset: Annotated[
        str | None, typer.Option(help="Schema or folder for the tables; `unisono` by default.", show_default=False)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Write everything anew, not only what changed.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write golden records (the v1_* views) to a dlt destination: what changed since the last export, deletes included."""
    from pipelines.stages import export as run_export

    with open_hub(config) as (hub, store):
        context = make_context(hub, store, full=full, progress=None if json else lambda message: say(f"  {message}"))
        code = 0
        for report in run_export(context, _target(hub, to, dataset), tuple(entities or ())):
            code = code if report.ok else max(code, report.exit_code)
            print(report.to_json() if json else _line(report), flush=True)
            if report.error:
                say(f"error: {report.error}")
    if code:
        raise typer.Exit(code)


def _target(hub: HubConfig, name: str, dataset: str | None) -> Target:
    from pipelines.dlt_bridge.target import Target

    known = hub.exports.get(name)
    if known is None:
        return Target(name, dataset or "unisono", {}, hub.path.parent)
    return Target(known.destination, dataset or known.dataset, known.values(), known.folder)


def _line(report: StageReport) -> str:
    counts = "  ".join(f"{name} {count:,}" for name, count in report.counts.items())
    return (
        f"{report.stage:<10} {report.entity or '':<32} {'FAILED' if report.error else counts}  ({report.seconds:.1f} s)"
    )
