"""What the mapping process does: it is told one task, then maps what it is told until there is no more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from pipelines.normalise.mapper import Made, receive, send

if TYPE_CHECKING:
    from pipelines.normalise.mapper import MapTask


def serve(given: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each batch with what it became, or with the error that it raised."""
    task: MapTask = receive(given)
    while True:
        try:
            pieces = receive(given)
        except EOFError:
            return
        try:
            answer: object = [_plain(made) for made in task.map_pieces(pieces)]
        except Exception as error:  # noqa: BLE001  raised again by who asked
            answer = error
        send(answers, answer)


def _plain(made: Made) -> Made:
    """Return the same with dicts in the place of views of them, which cannot be pickled."""
    mapped = made.mapped
    copies: dict[str, Any] = {
        "warnings": dict(mapped.warnings),
        "unmapped": dict(mapped.unmapped),
        "ignored": dict(mapped.ignored),
    }
    return made._replace(mapped=replace(mapped, **copies))


def _main() -> None:
    """Keep the pipe to the parent for answers: what a hook prints goes where errors go."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(BrokenPipeError):  # who asked is gone: nobody wants the rest
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
