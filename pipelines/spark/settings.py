"""What unisono.yaml says of Spark, and the one session that a process has of it."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.spark.session import Spark

_LOCK = Lock()


@dataclass(frozen=True)
class SparkSettings:
    """``spark:`` of unisono.yaml: where Spark runs, through which folder tables pass, and Spark's own settings."""

    master: str | None = None
    exchange: str | None = None
    config: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(given: Mapping[str, Any]) -> SparkSettings:
        """Return the settings of a checked ``spark:`` block."""
        config = tuple(sorted((key, _text(value)) for key, value in given.get("config", {}).items()))
        return SparkSettings(given.get("master"), given.get("exchange"), config)

    def session(self) -> Spark:
        """Return the process's session; it is started when first asked for and stopped with the process."""
        with _LOCK:
            return _session(self)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _session(settings: SparkSettings) -> Spark:
    from pipelines.spark.session import Spark  # noqa: PLC0415  an extra, and slow to import

    made = Spark(settings.master, settings.exchange, dict(settings.config))
    atexit.register(made.close)
    return made
