"""Loads Arrow tables into one table of a dlt destination, Parquet all the way, so that doing it twice changes nothing.

A database is merged on the key, deletes included, or replaced as a whole. Plain files cannot be merged: they become a log
of changes, one file per export, named by where the export began, so that a repeated one overwrites its own file.
dlt's working folder lives as long as the call; what was exported is remembered by us.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from connectors.sdk.errors import FixConfig
from pipelines.dlt_bridge import errors
from pipelines.dlt_bridge.quiet import dlt
from pipelines.dlt_bridge.target import DELETED, TableSpec, Target

_CSV_IS_FASTER: Final = ("postgres", "redshift")  # their Parquet way needs one more driver


def exists(target: Target, table: str) -> bool:
    """Return whether the destination has the table; a destination that was emptied must be filled anew."""
    with _pipeline(target, 0) as pipeline, _said_plainly(target), pipeline.destination_client() as client:
        if not client.is_storage_initialized():
            return False
        if target.is_log:
            try:
                return bool(client.list_table_files(table))
            except DestinationUndefinedEntity:
                return False
        return bool(client.get_storage_table(table)[0])


def load(target: Target, spec: TableSpec, tables: Iterable[pa.Table]) -> None:
    """Load rows (with the column ``is_deleted``) into a table; raise FixConfig or RetryLater when it cannot be done."""
    hints: dict[str, Any] = {name: {"data_type": "json"} for name in spec.json_columns}
    disposition: Any = "replace" if spec.since == 0 else "append"
    if spec.since and not target.is_log:
        disposition = {"disposition": "merge", "strategy": "delete-insert"}
        hints[DELETED] = {"data_type": "bool", "hard_delete": True}
    with _pipeline(target, spec.since) as pipeline:
        resource = dlt.resource(
            iter(tables), name=spec.name, primary_key=spec.key, write_disposition=disposition, columns=hints
        )
        with _said_plainly(target):
            pipeline.run(resource, loader_file_format=_format(pipeline)).raise_on_failed_jobs()


@contextlib.contextmanager
def _said_plainly(target: Target) -> Iterator[None]:
    """Turn what dlt raises into errors of ours."""
    try:
        yield
    except Exception as why:
        raise errors.translated(why, f"export to {target.destination}", kind="destination") from why


@contextlib.contextmanager
def _pipeline(target: Target, since: int) -> Iterator[Any]:
    """Open a pipeline in a folder of its own; nothing of it is left, not even in this process."""
    with TemporaryDirectory(prefix="unisono-export-") as folder:
        try:
            destination = Destination.from_reference(target.destination, **_arguments(target, since))
            pipeline = dlt.pipeline(
                pipeline_name=f"unisono_{target.dataset}", destination=destination, dataset_name=target.dataset,
                pipelines_dir=folder,
            )  # fmt: skip
        except Exception as why:
            do = "name one of dlt's destinations and give it its own arguments in config:"
            raise FixConfig(
                f"dlt has no usable destination '{target.destination}'", why=errors.shown(why), do=do
            ) from why
        pipeline.config.restore_from_destination = False
        pipeline.config.use_single_dataset = True
        try:
            yield pipeline
        finally:
            pipeline.deactivate()


def _arguments(target: Target, since: int) -> dict[str, Any]:
    """Return the destination's arguments: relative paths count from the configuration's folder."""
    given = dict(target.config)
    if target.is_log:
        bucket = str(given.get("bucket_url", ""))
        if bucket and "://" not in bucket:
            given["bucket_url"] = str((target.folder / Path(bucket).expanduser()).resolve())
        return {**given, "layout": "{table_name}/from-{since}.{ext}", "extra_placeholders": {"since": f"{since:020d}"}}
    place = given.get("credentials")
    if target.destination == "duckdb" and isinstance(place, str) and "://" not in place and place != ":memory:":
        file = (target.folder / Path(place).expanduser()).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        given["credentials"] = str(file)
    return {"replace_strategy": "insert-from-staging", **given}


def _format(pipeline: Any) -> str | None:
    supported = pipeline.destination.capabilities().supported_loader_file_formats or ()
    wanted = ("csv", "parquet") if pipeline.destination.destination_name in _CSV_IS_FASTER else ("parquet", "csv")
    return next((form for form in wanted if form in supported), None)
