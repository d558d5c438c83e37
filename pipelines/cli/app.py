"""``unisono``: composes the commands and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from connectors.sdk.errors import UnisonoError
from pipelines.cli import (
    bench,
    connectors,
    demo,
    drift,
    export,
    history,
    identity,
    influence,
    inspect,
    quarantine,
    setup,
    steward,
    sync,
)
from pipelines.cli.common import GLOBAL, say

app = typer.Typer(
    name="unisono",
    help="Many vendors, one voice: an open integration hub for the customer-experience stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _module in (
    setup,
    sync,
    export,
    connectors,
    inspect,
    influence,
    quarantine,
    steward,
    drift,
    bench,
    demo,
    history,
    identity,
):
    _module.register(app)


@app.callback()
def _options(
    config: Annotated[Path | None, typer.Option(help="Configuration file for the command.", show_default=False)] = None,
) -> None:
    GLOBAL.config = config


def main() -> None:
    """Run the command line; errors of ours end it with their message and code, never with a traceback."""
    for name in ("DAGSTER_DISABLE_TELEMETRY", "RUNTIME__DLTHUB_TELEMETRY"):
        os.environ.setdefault(name, "false" if name.startswith("RUNTIME") else "true")
    try:
        app()
    except UnisonoError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("stopped; run it again and it goes on where it was")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
