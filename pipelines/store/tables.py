"""The fixed tables of the master store; the vocabulary's tables are in ``entity_tables``.

Every table begins with ``tenant_id`` and ends with ``change_seq`` (the number of the write transaction that wrote the
row), ``actor`` and ``cause``. On SQLite the tables of ``control`` live in a file of their own beside the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from pipelines.store.types import Amount, Instant, Json, NfcText, TextList

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

__all__ = ["Amount", "Instant", "Json", "NfcText", "TextList", "control", "fixed_table", "metadata", "picked"]

_NAMES = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
}
metadata = MetaData(naming_convention=_NAMES)
control = MetaData(naming_convention=_NAMES)

BIG = BigInteger
BOOL = Boolean
BYTES = LargeBinary
FLOAT = Float(53)
INSTANT = Instant
JSON = Json
SMALL = Integer
TEXT = NfcText


def column(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any], *, required: bool = False) -> Column[Any]:
    """Return a nullable column, or a required one."""
    return Column(name, kind, nullable=not required)


def fixed_table(name: str, key: list[Column[Any]], *rest: Any, home: MetaData = metadata, **options: Any) -> Table:
    """Return a table whose key is ``tenant_id`` plus ``key`` and which says who changed each row, when and why."""
    for part in key:
        part.primary_key, part.nullable = True, False
    columns = [part for part in rest if isinstance(part, Column)]
    others = [part for part in rest if not isinstance(part, Column)]
    return Table(name, home, tenant_column(), *key, *columns, *change_columns(), *others, **options)


def tenant_column() -> Column[Any]:
    """Return the first column of every key."""
    return Column("tenant_id", BIG, primary_key=True, autoincrement=False)


def change_columns() -> tuple[Column[Any], ...]:
    """Return the columns that say by which transaction, by whom and why a row was written."""
    return column("change_seq", BIG, required=True), column("actor", TEXT), column("cause", TEXT)


def _key(name: str, kind: type[TypeEngine[Any]] = BIG) -> Column[Any]:
    return Column(name, kind, nullable=False, autoincrement=False)


# --- the store itself ---------------------------------------------------------------------------------------------
counter = Table(
    "counter", metadata, tenant_column(), Column("name", TEXT, primary_key=True), column("value", BIG, required=True)
)
fence = Table(
    "fence", metadata, tenant_column(), Column("scope", TEXT, primary_key=True), column("fence", BIG, required=True)
)
store_info = Table(
    "store_info",
    metadata,
    tenant_column(),
    Column("name", TEXT, primary_key=True),
    column("value", TEXT, required=True),
)
# When each write transaction was made, so that an instant names the state of that moment; no rule that decides reads it.
commit_log = Table(
    "commit_log",
    metadata,
    tenant_column(),
    Column("change_seq", BIG, primary_key=True, autoincrement=False),
    column("committed_at", INSTANT, required=True),
    column("actor", TEXT),
    column("cause", TEXT),
    Index(None, "tenant_id", "committed_at"),
)
stage_watermark = fixed_table(
    "stage_watermark", [_key("stage", TEXT), _key("unit", TEXT)], column("watermark", BIG, required=True)
)

# Ids handed to one reading or writing transaction; a TEMP table of that name exists only inside it.
picked = Table("picked", MetaData(), Column("id", BIG, nullable=False))

# --- connections and reads ----------------------------------------------------------------------------------------
connection = fixed_table(
    "connection",
    [_key("connection_id", TEXT)],
    column("name", TEXT, required=True),
    column("connector", TEXT, required=True),
    column("connector_major", SMALL, required=True),
    UniqueConstraint("tenant_id", "name"),
)
load = fixed_table(
    "load",
    [_key("load_id")],
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("status", TEXT, required=True),
    column("completeness", TEXT),
    column("started_at", INSTANT, required=True),
    column("finished_at", INSTANT),
    column("connector_version", TEXT),
    Index(None, "tenant_id", "connection_id", "stream"),
)
SEGMENT_COUNTS = ("wire", "loaded", "unchanged", "duplicate", "filtered", "quarantined")
read = fixed_table(
    "read",
    [_key("read_id")],
    column("load_id", BIG, required=True),
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("partition", TEXT, required=True),
    column("kind", TEXT, required=True),
    column("status", TEXT, required=True),
    column("completeness", TEXT),
    column("reason", TEXT),
    column("resumed", BOOL, required=True),
    column("restarted", BOOL),
    column("proof", TEXT),
    column("cursor", TEXT),
    column("started_seq", BIG, required=True),
    column("finished_seq", BIG),
    column("first_new_id", BIG),  # source records from here on were not known when the read began
    Index(None, "tenant_id", "load_id"),
)
segment = fixed_table(
    "segment",
    [_key("segment_id")],
    column("read_id", BIG, required=True),
    column("load_id", BIG, required=True),
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("partition", TEXT, required=True),
    column("object", TEXT, required=True),
    column("files", JSON, required=True),
    column("records", BIG, required=True),
    column("fence", BIG, required=True),
    column("position", JSON),
    *(column(name, BIG, required=True) for name in SEGMENT_COUNTS),
    Index(None, "tenant_id", "connection_id", "stream", "change_seq"),
)
partition_state = fixed_table(
    "partition_state",
    [
        _key("connection_id", TEXT),
        _key("stream", TEXT),
        _key("partition", TEXT),
        Column("state", TEXT, nullable=False, autoincrement=False, server_default="snapshot"),
    ],
    column("cursor", TEXT),
    column("open_read_id", BIG),
    column("kind", TEXT),
    column("position", JSON),
    column("parent_hash", TEXT),
    column("completeness", TEXT),
    column("complete_read_id", BIG),
    column("judged_read_id", BIG),
)
# Live records that a complete snapshot did not show: the reads that missed them first and last.
absent_record = fixed_table(
    "absent_record",
    [_key("source_record_id")],
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("first_read", BIG, required=True),
    column("last_read", BIG, required=True),
    Index(None, "tenant_id", "connection_id", "stream"),
)
# Deletes of live records that reads brought and the fuse has not let through yet: where their landed rows are.
held_delete = fixed_table(
    "held_delete",
    [_key("source_record_id")],
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("segment_id", BIG, required=True),
    column("row_no", BIG, required=True),
    column("hash", TEXT, required=True),
    column("record_time", INSTANT),
    column("read_id", BIG, required=True),
    Index(None, "tenant_id", "connection_id", "stream"),
)
source_record = fixed_table(
    "source_record",
    [_key("source_record_id")],
    column("connection_id", TEXT, required=True),
    column("object", TEXT, required=True),
    column("source_key", TEXT, required=True),
    column("entity", TEXT),
    column("is_stub", BOOL, required=True),
    column("deleted_at", INSTANT),
    UniqueConstraint("tenant_id", "connection_id", "object", "source_key"),
    Index(None, "tenant_id", "change_seq"),
)
raw_head = fixed_table(
    "raw_head",
    [_key("source_record_id")],
    column("segment_id", BIG, required=True),
    column("row_no", BIG, required=True),
    column("hash", TEXT, required=True),
    column("op", TEXT, required=True),
    column("record_time", INSTANT),
    column("mapping_version", SMALL),
    column("last_read", BIG, required=True),
    Index(None, "tenant_id", "segment_id"),
)
quarantine = fixed_table(
    "quarantine",
    [_key("quarantine_id")],
    column("stage", TEXT, required=True),
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("object", TEXT),
    column("source_key", TEXT),
    column("reason", TEXT, required=True),
    column("path", TEXT),
    column("raw", BYTES),
    column("parent", BYTES),
    column("raw_hash", TEXT),
    column("mapping_version", SMALL),
    column("segment_id", BIG),
    column("row_no", BIG),
    column("resolved_seq", BIG),
    column("load_id", BIG),
    column("read_id", BIG),
    column("schema_version", TEXT),
    column("entered_at", INSTANT),
    column("resolution", TEXT),
    column("resolution_note", TEXT),
    column("resolved_by", TEXT),
    column("resolved_at", INSTANT),
    Index(None, "tenant_id", "connection_id", "stream"),
)

# --- what the vendors' payloads look like, and what the vendors announce --------------------------------------------
structure_profile = fixed_table(
    "structure_profile",
    [_key("connection_id", TEXT), _key("stream", TEXT), _key("span", TEXT), _key("path", TEXT)],
    column("parents", BIG, required=True),
    column("types", JSON, required=True),
    column("empty", BIG, required=True),
    column("values", JSON),
    column("numbers", JSON),
    column("lengths", JSON),
    column("first_load_id", BIG),
    column("last_load_id", BIG),
)
drift_event = fixed_table(
    "drift_event",
    [_key("drift_event_id")],
    column("connection_id", TEXT, required=True),
    column("stream", TEXT, required=True),
    column("path", TEXT, required=True),
    column("kind", TEXT, required=True),
    column("level", TEXT, required=True),
    column("mapped", BOOL, required=True),
    column("signature", TEXT, required=True),
    column("detail", JSON, required=True),
    column("status", TEXT, required=True),
    column("first_load_id", BIG),
    column("last_load_id", BIG),
    column("first_seen_at", INSTANT, required=True),
    column("last_seen_at", INSTANT, required=True),
    Index(None, "tenant_id", "connection_id", "stream"),
)
vendor_notice = fixed_table(
    "vendor_notice",
    [_key("connection_id", TEXT), _key("stream", TEXT), _key("endpoint", TEXT), _key("header", TEXT)],
    column("value", TEXT, required=True),
    column("link", TEXT),
    column("due_at", INSTANT),
    column("first_seen_at", INSTANT, required=True),
    column("last_seen_at", INSTANT, required=True),
)

# --- identity -----------------------------------------------------------------------------------------------------
match_model = fixed_table(
    "match_model",
    [_key("model_id")],
    column("entity", TEXT, required=True),
    column("settings", JSON, required=True),
    column("report", JSON),
    column("status", TEXT),  # candidate | active | superseded; null in stores older than the column: active
)
evidence = fixed_table(
    "evidence",
    [_key("evidence_id")],
    column("entity", TEXT, required=True),
    column("left_id", BIG, required=True),
    column("right_id", BIG, required=True),
    column("kind", TEXT, required=True),
    column("rule", TEXT),
    column("judgement", TEXT, required=True),
    column("weight", FLOAT),
    column("model_id", BIG),
    column("known_from", BIG, required=True),
    column("known_to", BIG),
    Index(None, "tenant_id", "left_id"),
    Index(None, "tenant_id", "right_id"),
)
CROSSWALK_COLUMNS = ("entity", "source_record_id", "entity_id")
crosswalk = fixed_table(
    "crosswalk",
    [_key("source_record_id")],
    column("entity", TEXT, required=True),
    column("entity_id", BIG, required=True),
    column("known_from", BIG, required=True),
    Index(None, "tenant_id", "entity_id"),
    Index(None, "tenant_id", "change_seq"),
)
crosswalk_version = fixed_table(
    "crosswalk_version",
    [_key("source_record_id"), _key("known_from")],
    column("entity", TEXT, required=True),
    column("entity_id", BIG, required=True),
    column("known_to", BIG, required=True),
    Index(None, "tenant_id", "entity_id"),
)
entity_id = fixed_table(
    "entity_id",
    [_key("entity_id")],
    column("entity", TEXT, required=True),
    column("status", TEXT, required=True),
    column("current_id", BIG),
    column("minted_seq", BIG, required=True),
)
id_event = fixed_table(
    "id_event",
    [_key("id_event_id")],
    column("entity", TEXT, required=True),
    column("kind", TEXT, required=True),
    column("entity_id", BIG, required=True),
    column("other_id", BIG),
    column("detail", JSON),
    Index(None, "tenant_id", "entity_id"),
)
identifier_stats = fixed_table(
    "identifier_stats",
    [_key("entity", TEXT), _key("system", TEXT), _key("value_hash", TEXT)],
    column("records", BIG, required=True),
    column("names", BIG),
    column("blocked", BOOL),
    column("spellings", BIG),
    column("initials", BIG),
)
# The match index: what resolve needs of each record to decide about a few without reading all (pipelines/resolve/index).
# Derived from the source rows and removed with them; ``fingerprint`` says of which model, null while it is being written.
match_index = fixed_table(
    "match_index",
    [_key("entity", TEXT)],
    column("model_id", BIG, required=True),
    column("fingerprint", TEXT),
    column("bits", SMALL, required=True),
    column("records", BIG, required=True),
)
match_block = fixed_table("match_block", [_key("entity", TEXT), _key("block")], column("lines", BYTES, required=True))
match_bucket = fixed_table(
    "match_bucket", [_key("entity", TEXT), _key("bucket")], column("postings", BYTES, required=True)
)
suppression = fixed_table("suppression", [_key("kind", TEXT), _key("keyed_hash", TEXT)])

# --- decisions of people ------------------------------------------------------------------------------------------
# Only open rows (known_to is null) bind. A row is never changed but to be closed, which says when, by whom and why.
decision = fixed_table(
    "decision",
    [_key("decision_id")],
    column("entity", TEXT, required=True),
    column("kind", TEXT, required=True),
    column("left_id", BIG),
    column("right_id", BIG),
    column("groups", JSON),
    column("term", TEXT),
    column("value", JSON),
    column("reason", TEXT),
    column("expires_at", INSTANT),
    column("key_hash", TEXT),
    column("request_key", TEXT, required=True),
    column("known_from", BIG, required=True),
    column("known_to", BIG),
    column("decided_at", INSTANT, required=True),
    column("closed_at", INSTANT),
    column("closed_by", TEXT),
    column("closed_why", TEXT),
    column("closed_key", TEXT),
    UniqueConstraint("tenant_id", "request_key"),
    Index(None, "tenant_id", "entity", "known_to"),
    Index(None, "tenant_id", "change_seq"),
)

# --- history: what a person took back or destroyed ------------------------------------------------------------------
# A retraction takes a connection's records out of matching and golden until it is undone; their history stays.
retraction = fixed_table(
    "retraction",
    [_key("retraction_id")],
    column("connection_id", TEXT, required=True),
    column("since", INSTANT),
    column("reason", TEXT),
    column("records", BIG, required=True),
    column("retracted_at", INSTANT, required=True),
    column("undone_at", INSTANT),
)
retracted_record = fixed_table(
    "retracted_record",
    [_key("source_record_id")],
    column("retraction_id", BIG, required=True),
    column("known_from", BIG, required=True),
    Index(None, "tenant_id", "retraction_id"),
)
retracted_record_version = fixed_table(
    "retracted_record_version",
    [_key("source_record_id"), _key("known_from")],
    column("retraction_id", BIG, required=True),
    column("known_to", BIG, required=True),
)
erasure = fixed_table(
    "erasure",
    [_key("erasure_id")],
    column("entity", TEXT, required=True),
    column("entity_id", BIG, required=True),
    column("reason", TEXT, required=True),
    column("status", TEXT, required=True),
    column("records", JSON, required=True),
    column("requested_at", INSTANT, required=True),
    column("finished_at", INSTANT),
    Index(None, "tenant_id", "entity_id"),
)

# --- the influence map ----------------------------------------------------------------------------------------------
# One row per relation between golden entities and span of time; ``subject_id`` is the end it is recomputed with.
_RELATION_KEY = (("from_id", BIG), ("to_id", BIG), ("type", TEXT), ("role", TEXT), ("hierarchy", TEXT), ("span", BIG))
RELATION_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("subject_id", BIG),
    ("from_entity", TEXT),
    ("to_entity", TEXT),
    ("valid_from", INSTANT),
    ("valid_to", INSTANT),
    ("evidence_at", INSTANT),
    ("strength", FLOAT),
    ("sources", BIG),
    ("together", BIG),
    ("is_primary", BOOL),
    ("told_by", JSON),
    ("conflict", TEXT),
    ("conflict_with", BIG),
    ("known_from", BIG),
)
_RELATION_NULLS = ("valid_from", "valid_to", "evidence_at", "is_primary", "conflict", "conflict_with")
# One row per span in which an organisation has that parent; free of cycles at every instant.
_HIERARCHY_KEY = (("hierarchy", TEXT), ("entity_id", BIG), ("span", BIG))
HIERARCHY_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("parent_id", BIG),
    ("valid_from", INSTANT),
    ("valid_to", INSTANT),
    ("strength", FLOAT),
    ("cut", TEXT),
    ("known_from", BIG),
)
_HIERARCHY_NULLS = ("valid_from", "valid_to", "cut")


def _map_tables(
    name: str, key: tuple[tuple[str, Any], ...], columns: tuple[tuple[str, Any], ...], nulls: tuple[str, ...],
    *indexes: tuple[str, ...],
) -> Table:  # fmt: skip
    """Return a table of the influence map; its superseded rows go to ``<name>_version``."""

    def rest(skip: str = "") -> list[Column[Any]]:
        return [column(part, kind, required=part not in nulls) for part, kind in columns if part != skip]

    past_key = [_key(*part) for part in (*key, ("known_from", BIG))]
    fixed_table(f"{name}_version", past_key, *rest("known_from"), column("known_to", BIG, required=True))
    lookups = (Index(None, "tenant_id", *index) for index in indexes)
    return fixed_table(name, [_key(*part) for part in key], *rest(), *lookups)


golden_relationship = _map_tables(
    "golden_relationship", _RELATION_KEY, RELATION_COLUMNS, _RELATION_NULLS, ("to_id",), ("subject_id",), ("type",)
)  # fmt: skip
account_hierarchy = _map_tables(
    "account_hierarchy", _HIERARCHY_KEY, HIERARCHY_COLUMNS, _HIERARCHY_NULLS, ("parent_id",)
)

# --- households: golden persons who live together; the id of a household is an entity id (pipelines/resolve/households) ---
# One row per person that shares a household; the row of who left is in the version table.
HOUSEHOLD_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("household_id", BIG),
    ("reasons", JSON),
    ("valid_from", INSTANT),
    ("known_from", BIG),
)
household_member = _map_tables(
    "household_member", (("person_id", BIG),), HOUSEHOLD_COLUMNS, ("valid_from",), ("household_id",)
)
household_member_version = metadata.tables["household_member_version"]
# What an increment is found by: a hash of home and family name as households were last made, and persons to decide anew
# though no row of theirs says so (somebody who had an address or number in common with them is gone).
household_home = fixed_table(
    "household_home", [_key("person_id")], column("home", BIG, required=True), Index(None, "tenant_id", "home")
)
household_open = fixed_table("household_open", [_key("person_id")])

# --- channels: how a golden party can be reached, and how it likes to be (pipelines/channels) -----------------------
golden_contact_point = fixed_table(
    "golden_contact_point",
    [_key("entity_id"), _key("kind", TEXT), _key("network", TEXT), _key("value_norm", TEXT)],
    column("entity", TEXT, required=True),
    column("value", TEXT, required=True),
    column("use", TEXT),
    column("rank", BIG, required=True),
    column("state", TEXT, required=True),  # usable | complained | undeliverable | ended
    column("verified", BOOL),
    column("deliverability", FLOAT, required=True),
    column("valid_from", INSTANT),
    column("valid_to", INSTANT),
    column("signals", JSON),
    column("sources", JSON, required=True),
    Index(None, "tenant_id", "value_norm"),
    Index(None, "tenant_id", "change_seq"),
)
# A party of which nothing is known has no row: unknown is not a preference.
golden_preference = fixed_table(
    "golden_preference",
    [_key("entity_id")],
    column("entity", TEXT, required=True),
    column("language", TEXT),
    column("time_zone", TEXT),
    column("quiet_from", TEXT),
    column("quiet_to", TEXT),
    column("answered_channel", TEXT),
    column("answered_hour", BIG),
    column("derived", JSON),
    column("stated_channel", TEXT),
    column("stated_from", TEXT),
    column("stated_to", TEXT),
    column("quiet_also", JSON),  # the spans beside quiet_from to quiet_to, where the quiet hours are several
    column("max_messages", BIG),
    column("per_days", BIG),
    column("stated", JSON),  # every statement that counts, with its scope, its record and its time
    Index(None, "tenant_id", "change_seq"),
)

# --- control: who is writing, tokens, quota (control.db on SQLite) --------------------------------------------------
lease = Table(
    "lease",
    control,
    tenant_column(),
    Column("scope", TEXT, primary_key=True),
    column("fence", BIG, required=True),
    column("holder", TEXT),
    column("host", TEXT),
    column("boot_id", TEXT),
    column("pid", BIG),
    column("pid_started", TEXT),
    column("acquired_at", INSTANT),
    column("heartbeat_at", INSTANT),
)
token = Table(
    "token",
    control,
    tenant_column(),
    Column("connection_id", TEXT, primary_key=True),
    column("version", BIG, required=True),
    column("value", JSON, required=True),
)
quota = Table(
    "quota",
    control,
    tenant_column(),
    Column("account", TEXT, primary_key=True),
    column("window_started_at", INSTANT, required=True),
    column("used", BIG, required=True),
    column("blocked_until", INSTANT),
    column("state", JSON),
)
# How each connection is: what doctor and Dagster show.
# ``deferred``: streams that a run left unfinished because the vendor named the instant to come back.
connection_health = Table(
    "connection_health",
    control,
    tenant_column(),
    Column("connection_id", TEXT, primary_key=True),
    column("name", TEXT, required=True),
    column("state", TEXT, required=True),
    column("token_expires_at", INSTANT),
    column("limited_until", INSTANT),
    column("last_ok_at", INSTANT),
    column("last_error", TEXT),
    column("last_error_at", INSTANT),
)
connection_event = Table(
    "connection_event",
    control,
    tenant_column(),
    Column("connection_id", TEXT, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("family", TEXT, primary_key=True),
    column("at", INSTANT, required=True),
    column("detail", TEXT),
)
deferred = Table(
    "deferred",
    control,
    tenant_column(),
    Column("connection", TEXT, primary_key=True),
    Column("stream", TEXT, primary_key=True),
    column("not_before", INSTANT, required=True),
    column("reason", TEXT),
)
