"""The one room that imports dlt: its sources become streams of ours, its destinations take our golden tables.

Guarantee: dlt only fetches (``read``) and only loads (``load``). Landing, accounting, cursors and completeness stay with
us: no dlt pipeline runs while reading, nothing is written below ``~/.dlt``, no telemetry is sent. Importing this package
or ``declare`` does not import dlt, so that a configuration is read without paying for it.
"""

from __future__ import annotations
