"""Mappings: vendor records to canonical rows, said in YAML, run as set-based SQL."""

from __future__ import annotations

from connectors.sdk.mapping.compile import Mapping_ as Mapping
from connectors.sdk.mapping.compile import load_mapping
from connectors.sdk.mapping.expressions import MappingError
from connectors.sdk.mapping.preview import map_lines
from connectors.sdk.mapping.rows import arrow_type, json_rows, row_schema
from connectors.sdk.mapping.run import BATCH, CompiledStream, MappedBatch, compile_stream

__all__ = [
    "BATCH",
    "CompiledStream",
    "MappedBatch",
    "Mapping",
    "MappingError",
    "arrow_type",
    "compile_stream",
    "json_rows",
    "load_mapping",
    "map_lines",
    "row_schema",
]
