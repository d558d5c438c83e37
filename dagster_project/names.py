"""Keys, groups and pools: how things are called in Dagster, in one place."""

from __future__ import annotations

import re

import dagster as dg

MASTER_GROUPS = ("canonical", "identity", "golden")


def stream_key(connection: str, stream: str) -> dg.AssetKey:
    """Key of the asset of one connection's stream."""
    return dg.AssetKey([connection, _safe(stream)])


def canonical_key(entity: str) -> dg.AssetKey:
    """Key of the asset of a canonical entity's source rows."""
    return dg.AssetKey(["canonical", entity])


def identity_key(entity: str) -> dg.AssetKey:
    """Key of the asset of an entity's crosswalk."""
    return dg.AssetKey(["identity", entity])


def golden_key(entity: str) -> dg.AssetKey:
    """Key of the asset of an entity's golden records."""
    return dg.AssetKey(["golden", entity])


def channels_key(entity: str) -> dg.AssetKey:
    """Key of the asset of how an entity's golden parties can be reached."""
    return dg.AssetKey(["channels", entity])


def account_pool(connection: str) -> str:
    """Pool that keeps one vendor account from being asked by too many steps at once."""
    return f"account_{connection}"


MASTER_POOL = "master"
MASTER_FOLLOWS_TAG = "unisono/master_follows"  # on an ingest run: what started it runs master after it


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
