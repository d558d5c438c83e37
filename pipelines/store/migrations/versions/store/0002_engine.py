"""The engine's second schema: one pair of functions per subject, each called from upgrade() and downgrade().

Additive only: new columns are nullable or have a server default.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    _quarantine_up()
    _drift_up()
    _reads_up()


def downgrade() -> None:
    _reads_down()
    _drift_down()
    _quarantine_down()


def _tenant() -> sa.Column[Any]:
    return sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False)


def _change() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('change_seq', sa.BigInteger(), nullable=False),
        sa.Column('actor', types.NfcText(), nullable=True),
        sa.Column('cause', types.NfcText(), nullable=True),
    )


_QUARANTINE = (
    ('load_id', sa.BigInteger),
    ('read_id', sa.BigInteger),
    ('schema_version', types.NfcText),
    ('entered_at', types.Instant),
    ('resolution', types.NfcText),
    ('resolution_note', types.NfcText),
    ('resolved_by', types.NfcText),
    ('resolved_at', types.Instant),
)


def _quarantine_up() -> None:
    with op.batch_alter_table('quarantine', schema=None) as batch_op:
        for name, kind in _QUARANTINE:
            batch_op.add_column(sa.Column(name, kind(), nullable=True))
    with op.batch_alter_table('load', schema=None) as batch_op:
        batch_op.add_column(sa.Column('connector_version', types.NfcText(), nullable=True))


def _quarantine_down() -> None:
    with op.batch_alter_table('load', schema=None) as batch_op:
        batch_op.drop_column('connector_version')
    with op.batch_alter_table('quarantine', schema=None) as batch_op:
        for name, _ in reversed(_QUARANTINE):
            batch_op.drop_column(name)


def _drift_up() -> None:
    op.create_table('structure_profile',
    _tenant(),
    sa.Column('connection_id', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('stream', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('span', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('path', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('parents', sa.BigInteger(), nullable=False),
    sa.Column('types', types.Json(), nullable=False),
    sa.Column('empty', sa.BigInteger(), nullable=False),
    sa.Column('values', types.Json(), nullable=True),
    sa.Column('numbers', types.Json(), nullable=True),
    sa.Column('lengths', types.Json(), nullable=True),
    sa.Column('first_load_id', sa.BigInteger(), nullable=True),
    sa.Column('last_load_id', sa.BigInteger(), nullable=True),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'connection_id', 'stream', 'span', 'path', name=op.f('pk_structure_profile'))
    )
    op.create_table('drift_event',
    _tenant(),
    sa.Column('drift_event_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('stream', types.NfcText(), nullable=False),
    sa.Column('path', types.NfcText(), nullable=False),
    sa.Column('kind', types.NfcText(), nullable=False),
    sa.Column('level', types.NfcText(), nullable=False),
    sa.Column('mapped', sa.Boolean(), nullable=False),
    sa.Column('signature', types.NfcText(), nullable=False),
    sa.Column('detail', types.Json(), nullable=False),
    sa.Column('status', types.NfcText(), nullable=False),
    sa.Column('first_load_id', sa.BigInteger(), nullable=True),
    sa.Column('last_load_id', sa.BigInteger(), nullable=True),
    sa.Column('first_seen_at', types.Instant(), nullable=False),
    sa.Column('last_seen_at', types.Instant(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'drift_event_id', name=op.f('pk_drift_event'))
    )
    with op.batch_alter_table('drift_event', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_drift_event_tenant_id_connection_id_stream'), ['tenant_id', 'connection_id', 'stream'], unique=False)
    op.create_table('vendor_notice',
    _tenant(),
    sa.Column('connection_id', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('stream', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('endpoint', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('header', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('value', types.NfcText(), nullable=False),
    sa.Column('link', types.NfcText(), nullable=True),
    sa.Column('due_at', types.Instant(), nullable=True),
    sa.Column('first_seen_at', types.Instant(), nullable=False),
    sa.Column('last_seen_at', types.Instant(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'connection_id', 'stream', 'endpoint', 'header', name=op.f('pk_vendor_notice'))
    )


def _drift_down() -> None:
    op.drop_table('vendor_notice')
    with op.batch_alter_table('drift_event', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_drift_event_tenant_id_connection_id_stream'))
    op.drop_table('drift_event')
    op.drop_table('structure_profile')


_STATES = """UPDATE partition_state SET state = CASE
    WHEN kind = 'INCREMENTAL' THEN 'incremental' WHEN cursor IS NOT NULL THEN 'backfill' ELSE 'snapshot' END"""
_STATE_KEY = ['tenant_id', 'connection_id', 'stream', 'partition']


def _reads_up() -> None:
    with op.batch_alter_table('partition_state', schema=None) as batch_op:
        batch_op.add_column(sa.Column('state', types.NfcText(), server_default='snapshot', nullable=False))
        batch_op.add_column(sa.Column('judged_read_id', sa.BigInteger(), nullable=True))
    op.execute(_STATES)
    with op.batch_alter_table('partition_state', schema=None) as batch_op:
        batch_op.drop_constraint('pk_partition_state', type_='primary')
        batch_op.create_primary_key('pk_partition_state', [*_STATE_KEY, 'state'])
    with op.batch_alter_table('read', schema=None) as batch_op:
        batch_op.add_column(sa.Column('restarted', sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column('proof', types.NfcText(), nullable=True))
    op.create_table('absent_record',
    _tenant(),
    sa.Column('source_record_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('stream', types.NfcText(), nullable=False),
    sa.Column('first_read', sa.BigInteger(), nullable=False),
    sa.Column('last_read', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', name=op.f('pk_absent_record'))
    )
    with op.batch_alter_table('absent_record', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_absent_record_tenant_id_connection_id_stream'), ['tenant_id', 'connection_id', 'stream'], unique=False)


def _reads_down() -> None:
    with op.batch_alter_table('absent_record', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_absent_record_tenant_id_connection_id_stream'))
    op.drop_table('absent_record')
    with op.batch_alter_table('read', schema=None) as batch_op:
        batch_op.drop_column('proof')
        batch_op.drop_column('restarted')
    op.execute("DELETE FROM partition_state WHERE state = 'incremental'")
    with op.batch_alter_table('partition_state', schema=None) as batch_op:
        batch_op.drop_constraint('pk_partition_state', type_='primary')
        batch_op.create_primary_key('pk_partition_state', _STATE_KEY)
    with op.batch_alter_table('partition_state', schema=None) as batch_op:
        batch_op.drop_column('judged_read_id')
        batch_op.drop_column('state')
