"""accounts

Quota state per account and class, the health of connections, re-authorisation events, and runs put off to an instant.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('quota', sa.Column('state', types.Json(), nullable=True))
    op.create_table('connection_health',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('name', types.NfcText(), nullable=False),
    sa.Column('state', types.NfcText(), nullable=False),
    sa.Column('token_expires_at', types.Instant(), nullable=True),
    sa.Column('limited_until', types.Instant(), nullable=True),
    sa.Column('last_ok_at', types.Instant(), nullable=True),
    sa.Column('last_error', types.NfcText(), nullable=True),
    sa.Column('last_error_at', types.Instant(), nullable=True),
    sa.PrimaryKeyConstraint('tenant_id', 'connection_id', name=op.f('pk_connection_health'))
    )
    op.create_table('connection_event',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('kind', types.NfcText(), nullable=False),
    sa.Column('family', types.NfcText(), nullable=False),
    sa.Column('at', types.Instant(), nullable=False),
    sa.Column('detail', types.NfcText(), nullable=True),
    sa.PrimaryKeyConstraint('tenant_id', 'connection_id', 'kind', 'family', name=op.f('pk_connection_event'))
    )
    op.create_table('deferred',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('connection', types.NfcText(), nullable=False),
    sa.Column('stream', types.NfcText(), nullable=False),
    sa.Column('not_before', types.Instant(), nullable=False),
    sa.Column('reason', types.NfcText(), nullable=True),
    sa.PrimaryKeyConstraint('tenant_id', 'connection', 'stream', name=op.f('pk_deferred'))
    )


def downgrade() -> None:
    op.drop_table('deferred')
    op.drop_table('connection_event')
    op.drop_table('connection_health')
    op.drop_column('quota', 'state')
