"""Some records as a full run compares them: their rows of ``norm``, what they hold, and who else holds it.

Where the match index is of the active model it is read by the records' numbers; else everything is read, as a full run does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.resolve import deterministic, index
from pipelines.resolve.candidates import is_one_name, names_of
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.normal_form import NormalForm, value_hash
from pipelines.resolve.read_store import read_match_table
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import duckdb

    from pipelines.resolve.agreement import Row
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store
    from pipelines.store.match_index import IndexState

Value = tuple[str, str]
"""Kind and normal form of a value that records hold."""


@dataclass(frozen=True)
class Holders:
    """How many records hold a value, under how many names; whole names (spellings) are what a phone is counted by.

    ``one``: the names may be one, halves of it beside the whole; said of values that a stub holds.
    """

    records: int
    names: int
    spellings: int
    one: bool = False


@dataclass(frozen=True)
class Compared:
    """Rows of ``norm`` by record, what each holds (kind, value → verified), and the holders of each value."""

    rows: Mapping[int, Row]
    held: Mapping[int, Mapping[Value, bool]]
    holders: Mapping[Value, Holders]


def compared(
    store: Store, tenant_id: int, entity: str, model: MatchModel, model_id: int, policy: Policy, records: Sequence[int]
) -> Compared:
    """Return these records as they are compared; one that takes no part is not in it."""
    state = match_index.state(store, tenant_id, entity)
    mark = index.fingerprint(policy, model.features)
    if state is not None and state.model_id == model_id and state.fingerprint == mark:
        return _from_index(store, tenant_id, entity, state, NormalForm(model, policy), records)
    con = connect()
    try:
        return _from_everything(con, store, tenant_id, entity, model, policy, records)
    finally:
        con.close()


def _from_index(
    store: Store,
    tenant_id: int,
    entity: str,
    state: IndexState,
    form: NormalForm,
    records: Sequence[int],
) -> Compared:
    rows, held = dict[int, "Row"](), dict[int, "Mapping[Value, bool]"]()
    for line in match_index.rows(store, tenant_id, entity, records):
        rows[line.record] = form.row(line)
        held[line.record] = {(kind, value): sure for kind, value, sure in index.held_values(line.held)}
    values = sorted({value for each in held.values() for value in each})
    who = _holders(store, tenant_id, entity, state, values)
    of_stubs = {value for record, row in rows.items() if row["is_stub"] for value in held[record]}
    return Compared(rows, held, _with_names(store, tenant_id, entity, form, who, of_stubs))


def _holders(
    store: Store, tenant_id: int, entity: str, state: IndexState, values: list[Value]
) -> dict[Value, list[int]]:
    """Return the records that hold each value, by the postings of the index."""
    hashed = {value: value_hash(*value) for value in values}
    buckets = np.unique(index.bucket_of(np.array(list(hashed.values()), np.uint64), state.bits)).tolist()
    found, holders = index.postings_of(match_index.few_buckets(store, tenant_id, entity, buckets))
    return {value: np.unique(holders[found == np.uint64(h)]).tolist() for value, h in hashed.items()}


def _with_names(
    store: Store,
    tenant_id: int,
    entity: str,
    form: NormalForm,
    who: Mapping[Value, list[int]],
    of_stubs: Collection[Value],
) -> dict[Value, Holders]:
    """Count names: the store keeps the numbers of values with several; of the others the few holders are read."""
    named = {
        (kind, hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()): (kind, value) for kind, value in who
    }
    asked = pa.table([[key[place] for key in named] for place in (0, 1)], schema=_ASKED)
    kept = {named[row["system"], row["value_hash"]]: row
            for row in match_index.known_stats(store, tenant_id, entity, asked).to_pylist()}  # fmt: skip
    few = sorted(
        {
            record
            for value, records in who.items()
            if value in of_stubs or (value not in kept and len(records) > 1)
            for record in records
        }
    )
    rows = {line.record: form.row(line) for line in match_index.rows(store, tenant_id, entity, few)}
    return {
        value: Holders(
            len(records), kept[value]["names"] or 1, kept[value]["spellings"] or 1,
            one=value in of_stubs and is_one_name([names_of(rows[record]) for record in records if record in rows]),
        )
        if value in kept
        else _names_among([rows[record] for record in records if record in rows], len(records))
        for value, records in who.items()
    }  # fmt: skip


def _names_among(rows: Sequence[Row], records: int) -> Holders:
    found = list(map(names_of, rows))
    names, spellings = ({each[place] for each in found} - {None} for place in range(2))
    return Holders(records, len(names) or 1, len(spellings) or 1, one=is_one_name(found))


_ASKED = pa.schema([("system", pa.string()), ("value_hash", pa.string())])


def _from_everything(
    con: duckdb.DuckDBPyConnection,
    store: Store,
    tenant_id: int,
    entity: str,
    model: MatchModel,
    policy: Policy,
    records: Sequence[int],
) -> Compared:
    con.register("match", numbered(read_match_table(store, tenant_id, entity, policy)))
    features = build_norm(con, entity, policy, model.features)
    deterministic.build_values(con, features, policy)
    finish_norm(con, features, policy)
    con.register("asked", pa.table({"sid": pa.array(records, pa.int64())}))
    con.execute(
        """CREATE TABLE wanted AS SELECT sid, rid FROM asked
        JOIN (SELECT rid, source_record_id AS sid FROM match) USING (sid)"""
    )
    rows = con.execute("SELECT sid, norm.* FROM norm JOIN wanted USING (rid)").to_arrow_table().to_pylist()
    held: dict[int, dict[Value, bool]] = {row["sid"]: {} for row in rows}
    counted = con.execute(
        """SELECT sid, kind, value, verified, holders, names, spellings FROM held JOIN wanted USING (rid)
        LEFT JOIN identifier_stats USING (kind, value)"""
    ).fetchall()
    ones = set(con.execute(deterministic.one_names_sql()).fetchall())
    holders = dict[Value, Holders]()
    for sid, kind, value, verified, count, names, spellings in counted:
        held[sid][kind, value] = verified
        holders[kind, value] = Holders(count or 1, names or 1, spellings or 1, one=(kind, value) in ones)
    return Compared({row.pop("sid"): row for row in rows}, held, holders)
