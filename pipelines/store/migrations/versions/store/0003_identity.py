"""The schema of identity, decisions and history: one pair of functions per subject, called from upgrade() and downgrade().

Additive only: new columns are nullable or have a server default.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from pipelines.store import types

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    _match_index_up()
    _influence_up()
    _decisions_up()
    _history_up()
    _channels_up()


def downgrade() -> None:
    _match_index_down()
    _channels_down()
    _influence_down()
    _history_down()
    _decisions_down()


def _tenant() -> sa.Column[Any]:
    return sa.Column('tenant_id', sa.BigInteger(), autoincrement=False, nullable=False)


def _change() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('change_seq', sa.BigInteger(), nullable=False),
        sa.Column('actor', types.NfcText(), nullable=True),
        sa.Column('cause', types.NfcText(), nullable=True),
    )


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _history_up() -> None:
    with op.batch_alter_table('match_model', schema=None) as batch_op:
        batch_op.add_column(sa.Column('status', types.NfcText(), nullable=True))
    op.create_table('commit_log',
    _tenant(),
    _number('change_seq'),
    sa.Column('committed_at', types.Instant(), nullable=False),
    sa.Column('actor', types.NfcText(), nullable=True),
    sa.Column('cause', types.NfcText(), nullable=True),
    sa.PrimaryKeyConstraint('tenant_id', 'change_seq', name=op.f('pk_commit_log'))
    )
    with op.batch_alter_table('commit_log', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_commit_log_tenant_id_committed_at'), ['tenant_id', 'committed_at'], unique=False)
    op.create_table('retraction',
    _tenant(),
    _number('retraction_id'),
    sa.Column('connection_id', types.NfcText(), nullable=False),
    sa.Column('since', types.Instant(), nullable=True),
    sa.Column('reason', types.NfcText(), nullable=True),
    sa.Column('records', sa.BigInteger(), nullable=False),
    sa.Column('retracted_at', types.Instant(), nullable=False),
    sa.Column('undone_at', types.Instant(), nullable=True),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'retraction_id', name=op.f('pk_retraction'))
    )
    op.create_table('retracted_record',
    _tenant(),
    _number('source_record_id'),
    sa.Column('retraction_id', sa.BigInteger(), nullable=False),
    sa.Column('known_from', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', name=op.f('pk_retracted_record'))
    )
    with op.batch_alter_table('retracted_record', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_retracted_record_tenant_id_retraction_id'), ['tenant_id', 'retraction_id'], unique=False)
    op.create_table('retracted_record_version',
    _tenant(),
    _number('source_record_id'),
    _number('known_from'),
    sa.Column('retraction_id', sa.BigInteger(), nullable=False),
    sa.Column('known_to', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', 'known_from', name=op.f('pk_retracted_record_version'))
    )
    op.create_table('erasure',
    _tenant(),
    _number('erasure_id'),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('entity_id', sa.BigInteger(), nullable=False),
    sa.Column('reason', types.NfcText(), nullable=False),
    sa.Column('status', types.NfcText(), nullable=False),
    sa.Column('records', types.Json(), nullable=False),
    sa.Column('requested_at', types.Instant(), nullable=False),
    sa.Column('finished_at', types.Instant(), nullable=True),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'erasure_id', name=op.f('pk_erasure'))
    )
    with op.batch_alter_table('erasure', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_erasure_tenant_id_entity_id'), ['tenant_id', 'entity_id'], unique=False)


def _history_down() -> None:
    with op.batch_alter_table('erasure', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_erasure_tenant_id_entity_id'))
    op.drop_table('erasure')
    op.drop_table('retracted_record_version')
    with op.batch_alter_table('retracted_record', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_retracted_record_tenant_id_retraction_id'))
    op.drop_table('retracted_record')
    op.drop_table('retraction')
    with op.batch_alter_table('commit_log', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_commit_log_tenant_id_committed_at'))
    op.drop_table('commit_log')
    with op.batch_alter_table('match_model', schema=None) as batch_op:
        batch_op.drop_column('status')


def _decisions_up() -> None:
    op.create_table('decision',
    _tenant(),
    _number('decision_id'),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('kind', types.NfcText(), nullable=False),
    sa.Column('left_id', sa.BigInteger(), nullable=True),
    sa.Column('right_id', sa.BigInteger(), nullable=True),
    sa.Column('groups', types.Json(), nullable=True),
    sa.Column('term', types.NfcText(), nullable=True),
    sa.Column('value', types.Json(), nullable=True),
    sa.Column('reason', types.NfcText(), nullable=True),
    sa.Column('expires_at', types.Instant(), nullable=True),
    sa.Column('key_hash', types.NfcText(), nullable=True),
    sa.Column('request_key', types.NfcText(), nullable=False),
    sa.Column('known_from', sa.BigInteger(), nullable=False),
    sa.Column('known_to', sa.BigInteger(), nullable=True),
    sa.Column('decided_at', types.Instant(), nullable=False),
    sa.Column('closed_at', types.Instant(), nullable=True),
    sa.Column('closed_by', types.NfcText(), nullable=True),
    sa.Column('closed_why', types.NfcText(), nullable=True),
    sa.Column('closed_key', types.NfcText(), nullable=True),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'decision_id', name=op.f('pk_decision')),
    sa.UniqueConstraint('tenant_id', 'request_key', name=op.f('uq_decision_tenant_id_request_key'))
    )
    with op.batch_alter_table('decision', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_decision_tenant_id_entity_known_to'), ['tenant_id', 'entity', 'known_to'], unique=False)
        batch_op.create_index(batch_op.f('ix_decision_tenant_id_change_seq'), ['tenant_id', 'change_seq'], unique=False)


def _decisions_down() -> None:
    with op.batch_alter_table('decision', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_decision_tenant_id_change_seq'))
        batch_op.drop_index(batch_op.f('ix_decision_tenant_id_entity_known_to'))
    op.drop_table('decision')


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, types.NfcText(), autoincrement=False, nullable=False)


def _relation_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('subject_id', sa.BigInteger(), nullable=False),
        sa.Column('from_entity', types.NfcText(), nullable=False),
        sa.Column('to_entity', types.NfcText(), nullable=False),
        sa.Column('valid_from', types.Instant(), nullable=True),
        sa.Column('valid_to', types.Instant(), nullable=True),
        sa.Column('evidence_at', types.Instant(), nullable=True),
        sa.Column('strength', sa.Float(53), nullable=False),
        sa.Column('sources', sa.BigInteger(), nullable=False),
        sa.Column('together', sa.BigInteger(), nullable=False),
        sa.Column('is_primary', sa.Boolean(), nullable=True),
        sa.Column('told_by', types.Json(), nullable=False),
        sa.Column('conflict', types.NfcText(), nullable=True),
        sa.Column('conflict_with', sa.BigInteger(), nullable=True),
    )


def _hierarchy_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('parent_id', sa.BigInteger(), nullable=False),
        sa.Column('valid_from', types.Instant(), nullable=True),
        sa.Column('valid_to', types.Instant(), nullable=True),
        sa.Column('strength', sa.Float(53), nullable=False),
        sa.Column('cut', types.NfcText(), nullable=True),
    )


_MAP_TABLES = (
    ('golden_relationship', ('from_id', 'to_id', 'type', 'role', 'hierarchy', 'span'), _relation_columns, ('to_id', 'subject_id', 'type')),
    ('account_hierarchy', ('hierarchy', 'entity_id', 'span'), _hierarchy_columns, ('parent_id',)),
)


def _influence_up() -> None:
    for name in ('relationship', 'relationship_version'):
        with op.batch_alter_table(name, schema=None) as batch_op:
            batch_op.add_column(sa.Column('hierarchy', types.NfcText(), nullable=True))
            batch_op.add_column(sa.Column('strength', types.Amount(), nullable=True))
    for name, key, columns, indexes in _MAP_TABLES:
        op.create_table(f'{name}_version',
        _tenant(),
        *(_text(part) if part in ('type', 'role', 'hierarchy') else _number(part) for part in key),
        _number('known_from'),
        *columns(),
        sa.Column('known_to', sa.BigInteger(), nullable=False),
        *_change(),
        sa.PrimaryKeyConstraint('tenant_id', *key, 'known_from', name=op.f(f'pk_{name}_version'))
        )
        op.create_table(name,
        _tenant(),
        *(_text(part) if part in ('type', 'role', 'hierarchy') else _number(part) for part in key),
        *columns(),
        sa.Column('known_from', sa.BigInteger(), nullable=False),
        *_change(),
        sa.PrimaryKeyConstraint('tenant_id', *key, name=op.f(f'pk_{name}'))
        )
        with op.batch_alter_table(name, schema=None) as batch_op:
            for index in indexes:
                batch_op.create_index(batch_op.f(f'ix_{name}_tenant_id_{index}'), ['tenant_id', index], unique=False)


def _influence_down() -> None:
    for name, _, _, indexes in reversed(_MAP_TABLES):
        with op.batch_alter_table(name, schema=None) as batch_op:
            for index in indexes:
                batch_op.drop_index(batch_op.f(f'ix_{name}_tenant_id_{index}'))
        op.drop_table(name)
        op.drop_table(f'{name}_version')
    for name in ('relationship_version', 'relationship'):
        with op.batch_alter_table(name, schema=None) as batch_op:
            batch_op.drop_column('strength')
            batch_op.drop_column('hierarchy')


def _channels_up() -> None:
    with op.batch_alter_table('consent', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_consent_tenant_id_contact_value_norm'), ['tenant_id', 'contact_value_norm'], unique=False)
    op.create_table('golden_contact_point',
    _tenant(),
    _number('entity_id'),
    sa.Column('kind', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('network', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('value_norm', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('value', types.NfcText(), nullable=False),
    sa.Column('use', types.NfcText(), nullable=True),
    sa.Column('rank', sa.BigInteger(), nullable=False),
    sa.Column('state', types.NfcText(), nullable=False),
    sa.Column('verified', sa.Boolean(), nullable=True),
    sa.Column('deliverability', sa.Float(53), nullable=False),
    sa.Column('valid_from', types.Instant(), nullable=True),
    sa.Column('valid_to', types.Instant(), nullable=True),
    sa.Column('signals', types.Json(), nullable=True),
    sa.Column('sources', types.Json(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'entity_id', 'kind', 'network', 'value_norm', name=op.f('pk_golden_contact_point'))
    )
    with op.batch_alter_table('golden_contact_point', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_golden_contact_point_tenant_id_value_norm'), ['tenant_id', 'value_norm'], unique=False)
        batch_op.create_index(batch_op.f('ix_golden_contact_point_tenant_id_change_seq'), ['tenant_id', 'change_seq'], unique=False)
    op.create_table('golden_preference',
    _tenant(),
    _number('entity_id'),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('language', types.NfcText(), nullable=True),
    sa.Column('time_zone', types.NfcText(), nullable=True),
    sa.Column('quiet_from', types.NfcText(), nullable=True),
    sa.Column('quiet_to', types.NfcText(), nullable=True),
    sa.Column('answered_channel', types.NfcText(), nullable=True),
    sa.Column('answered_hour', sa.BigInteger(), nullable=True),
    sa.Column('derived', types.Json(), nullable=True),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'entity_id', name=op.f('pk_golden_preference'))
    )
    with op.batch_alter_table('golden_preference', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_golden_preference_tenant_id_change_seq'), ['tenant_id', 'change_seq'], unique=False)


def _channels_down() -> None:
    with op.batch_alter_table('golden_preference', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_golden_preference_tenant_id_change_seq'))
    op.drop_table('golden_preference')
    with op.batch_alter_table('golden_contact_point', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_golden_contact_point_tenant_id_change_seq'))
        batch_op.drop_index(batch_op.f('ix_golden_contact_point_tenant_id_value_norm'))
    op.drop_table('golden_contact_point')
    with op.batch_alter_table('consent', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_consent_tenant_id_contact_value_norm'))


def _match_index_up() -> None:
    with op.batch_alter_table('identifier_stats', schema=None) as batch_op:
        batch_op.add_column(sa.Column('spellings', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('initials', sa.BigInteger(), nullable=True))
    op.create_table('match_index',
    _tenant(),
    sa.Column('entity', types.NfcText(), autoincrement=False, nullable=False),
    sa.Column('model_id', sa.BigInteger(), nullable=False),
    sa.Column('fingerprint', types.NfcText(), nullable=True),
    sa.Column('bits', sa.Integer(), nullable=False),
    sa.Column('records', sa.BigInteger(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'entity', name=op.f('pk_match_index'))
    )
    op.create_table('match_row',
    _tenant(),
    _number('source_record_id'),
    sa.Column('entity', types.NfcText(), nullable=False),
    sa.Column('features', types.NfcText(), nullable=False),
    sa.Column('held', types.NfcText(), nullable=False),
    sa.Column('keys', sa.LargeBinary(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'source_record_id', name=op.f('pk_match_row'))
    )
    op.create_table('match_bucket',
    _tenant(),
    sa.Column('entity', types.NfcText(), autoincrement=False, nullable=False),
    _number('bucket'),
    sa.Column('postings', sa.LargeBinary(), nullable=False),
    *_change(),
    sa.PrimaryKeyConstraint('tenant_id', 'entity', 'bucket', name=op.f('pk_match_bucket'))
    )


def _match_index_down() -> None:
    op.drop_table('match_bucket')
    op.drop_table('match_row')
    op.drop_table('match_index')
    with op.batch_alter_table('identifier_stats', schema=None) as batch_op:
        batch_op.drop_column('initials')
        batch_op.drop_column('spellings')
