"""dlt, told to be quiet before it starts: no telemetry, no log lines but errors (RUNTIME__LOG_LEVEL says otherwise)."""

from __future__ import annotations

import os

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")

import dlt

__all__ = ["dlt"]
