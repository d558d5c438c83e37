"""The match index in blocks: what a full run derives again is dropped, and the index says that it is to be written anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table('match_row')
    op.create_table('match_block',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('entity', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('block', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('lines', sa.LargeBinary(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'entity', 'block', name=op.f('pk_match_block'))
    )
    _forget_index()


def downgrade() -> None:
    op.drop_table('match_block')
    op.create_table('match_row',
    sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('source_record_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('features', types.NfcText(), nullable=False),
    sa.Column('held', types.NfcText(), nullable=False),
    sa.Column('keys', sa.LargeBinary(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', name=op.f('pk_match_row'))
    )
    _forget_index()


def _change() -> tuple[sa.Column[int], sa.Column[str], sa.Column[str]]:
    return (
        sa.Column('change_seq', sa.BigInteger(), nullable=False),
        sa.Column('actor', types.NfcText(), nullable=True),
        sa.Column('cause', types.NfcText(), nullable=True),
    )


def _forget_index() -> None:
    op.execute('DELETE FROM match_bucket')
    op.execute('DELETE FROM match_index')
