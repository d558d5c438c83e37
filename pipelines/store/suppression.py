"""Suppression: keyed hashes of what was erased, so that a re-sync does not bring it back (ARCHITECTURE §6, "Erasure").

A hash is made under a key derived from the operator's own (UNISONO_KEY or the keyring) and names that key, so that keys can
be changed as for credentials. Without the key nothing can be told from the hashes, and nothing is landed beside them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from connectors.sdk.errors import FixConfig
from pipelines.store.sealing import VARIABLE, Sealer, find_sealer
from pipelines.store.tables import suppression
from pipelines.store.upserting import insert_on_conflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipelines.store.store import Store
    from pipelines.store.transaction import WriteTransaction

RECORD, VALUE = "record", "value"
_PHONE: Final = re.compile(r"[+()\d\s./-]{7,}")
_DO: Final = f"set {VARIABLE} to the key that erased it; a newer key goes before it ({VARIABLE}=new,old)"


class Suppressed:
    """What was erased, as far as one can tell from a record's key and values."""

    def __init__(self, keys: list[tuple[str, bytes]], hashes: frozenset[tuple[str, str]]) -> None:
        self._keys, self._hashes = keys, hashes

    def has_record(self, connection_id: str, name: str, key: str) -> bool:
        """Return whether this record was erased."""
        return self._has(RECORD, record_text(connection_id, name, key))

    def has_value_in(self, payload: bytes) -> bool:
        """Return whether a value of the JSON payload identified somebody who was erased."""
        return any(self._has(VALUE, canonical(leaf)) for leaf in _leaves(json.loads(payload)))

    def _has(self, kind: str, text: str) -> bool:
        return any((kind, _hashed(number, key, text)) in self._hashes for number, key in self._keys)


def load(store: Store, tenant_id: int) -> Suppressed | None:
    """Return what is suppressed, ``None`` where nothing is; raise FixConfig when its key is missing."""
    table = suppression.c
    found = store.read(select(table.kind, table.keyed_hash).where(table.tenant_id == tenant_id))
    if not found:
        return None
    keys = _derived(required_sealer())
    missing = {row[1].partition(":")[0] for row in found} - {number for number, _ in keys}
    if missing:
        why = f"the list of erased people was made with key {', '.join(sorted(missing))}"
        raise FixConfig("what was erased cannot be told from the rest, so nothing is landed", why=why, do=_DO)
    return Suppressed(keys, frozenset((row[0], row[1]) for row in found))


def required_sealer() -> Sealer:
    """Return the sealer of this installation's key; raise FixConfig where there is none."""
    sealer = find_sealer()
    if sealer is None:
        do = f"make a key with `unisono key new`, keep it, and set {VARIABLE} to it"
        raise FixConfig(
            "erasure needs a key of your own", why="what was erased is remembered by keyed hashes only", do=do
        )
    return sealer


def suppress(
    tx: WriteTransaction, sealer: Sealer, records: Iterable[tuple[str, str, str]], values: Iterable[str]
) -> int:
    """Remember erased records (connection_id, object, key) and identifying values by their hashes; returns how many."""
    number, key = _derived(sealer)[0]
    texts = {(RECORD, record_text(*one)) for one in records} | {(VALUE, canonical(one)) for one in values}
    for kind, text in sorted(texts):
        row = {**tx.change(suppression), "kind": kind, "keyed_hash": _hashed(number, key, text)}
        tx.execute(insert_on_conflict(tx.dialect, suppression, row, update=lambda _: {}))
    return len(texts)


def record_text(connection_id: str, name: str, key: str) -> str:
    """Return a record's reference as one text."""
    return f"{connection_id}\x1f{name}\x1f{key}"


def canonical(value: str) -> str:
    """Return an identifying value in the form that is hashed: case and spaces do not matter, of a phone only digits."""
    text = value.strip().casefold()
    return re.sub(r"\D", "", text) if _PHONE.fullmatch(text) else text


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield str(value)


def _derived(sealer: Sealer) -> list[tuple[str, bytes]]:
    return [(Sealer((key,)).key_id, hmac.digest(key, b"unisono suppression", hashlib.sha256)) for key in sealer.keys]


def _hashed(number: str, key: bytes, text: str) -> str:
    return f"{number}:{hmac.digest(key, text.encode(), hashlib.sha256).hex()}"
