"""Deletes that wait for the fuse, and which records a read cannot have known before it began.

Additive only: the new column is nullable.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_INDEX = 'ix_held_delete_tenant_id_connection_id_stream'


def upgrade() -> None:
    with op.batch_alter_table('read', schema=None) as batch_op:
        batch_op.add_column(sa.Column('first_new_id', sa.BigInteger(), nullable=True))
    op.create_table('held_delete',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('source_record_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('stream', types.NfcText(), nullable=False),
    sa.Column('segment_id', sa.BigInteger(), nullable=False),
    sa.Column('row_no', sa.BigInteger(), nullable=False),
    sa.Column('hash', types.NfcText(), nullable=False),
    sa.Column('record_time', types.Instant(), nullable=True),
    sa.Column('read_id', sa.BigInteger(), nullable=False),
    sa.Column('change_seq', sa.BigInteger(), nullable=False),
    sa.Column('actor', types.NfcText(), nullable=True),
    sa.Column('cause', types.NfcText(), nullable=True),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', name=op.f('pk_held_delete'))
    )
    with op.batch_alter_table('held_delete', schema=None) as batch_op:
        batch_op.create_index(batch_op.f(_INDEX), ['tenant_id', 'connection_id', 'stream'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('held_delete', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f(_INDEX))
    op.drop_table('held_delete')
    with op.batch_alter_table('read', schema=None) as batch_op:
        batch_op.drop_column('first_new_id')
