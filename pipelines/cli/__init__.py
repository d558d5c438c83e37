"""The command line: one module per group of commands, all above the stages."""

from pipelines.cli.app import main

__all__ = ["main"]
