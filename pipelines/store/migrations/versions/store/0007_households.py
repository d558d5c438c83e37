"""Households: golden persons who live together. Additive only."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('household_member_version',
    *_key(),
    sa.Column('known_from', sa.BigInteger(), autoincrement=False, nullable=False),
    *_columns(),
    sa.Column('known_to', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'person_id', 'known_from', name=op.f('pk_household_member_version'))
    )
    op.create_table('household_member',
    *_key(),
    *_columns(),
    sa.Column('known_from', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'person_id', name=op.f('pk_household_member'))
    )
    with op.batch_alter_table('household_member', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_household_member_tenant_id_household_id'), ['tenant_id', 'household_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('household_member', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_household_member_tenant_id_household_id'))
    op.drop_table('household_member')
    op.drop_table('household_member_version')


def _key() -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False) for name in ('tenant_id', 'person_id'))


def _columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('household_id', sa.BigInteger(), nullable=False),
        sa.Column('reasons', types.Json(), nullable=False),
        sa.Column('valid_from', types.Instant(), nullable=True),
    )


def _change() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('change_seq', sa.BigInteger(), nullable=False),
        sa.Column('actor', types.NfcText(), nullable=True),
        sa.Column('cause', types.NfcText(), nullable=True),
    )
