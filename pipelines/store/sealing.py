"""Secrets at rest: AES-GCM under a key of the operator's own, from UNISONO_KEY or the keyring.

UNISONO_KEY may name several keys, separated by commas: the first seals, all of them open, so that a key can be changed
without losing what an older one sealed. A sealed value is bound to its place: copied to another row it does not open.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from connectors.sdk.errors import FixConfig

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VARIABLE: Final = "UNISONO_KEY"
SERVICE, NAME = "unisono", "key"
_BYTES, _NONCE = 32, 12
_VERSION: Final = "v1"


def new_key() -> str:
    """Return a fresh key, as UNISONO_KEY wants it."""
    return base64.urlsafe_b64encode(os.urandom(_BYTES)).decode()


@dataclass(frozen=True)
class Sealer:
    """Seals and opens short texts; ``keys`` are tried by the id that a sealed value names."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, text: str, where: str = VARIABLE) -> Sealer:
        """Return the sealer of one or more keys in text; raise FixConfig for what is none."""
        keys = tuple(_decoded(part.strip(), where) for part in text.split(",") if part.strip())
        if not keys:
            raise _no_key(where, "it is empty")
        return cls(keys)

    @property
    def key_id(self) -> str:
        """What tells the key that seals from others, without showing anything of it."""
        return _id(self.keys[0])

    def seal(self, text: str, place: str) -> str:
        """Return ``text`` sealed for ``place``."""
        nonce = os.urandom(_NONCE)
        sealed = _cipher(self.keys[0]).encrypt(nonce, text.encode(), place.encode())
        return ".".join((_VERSION, self.key_id, base64.urlsafe_b64encode(nonce + sealed).decode()))

    def open(self, sealed: str, place: str) -> str:
        """Return what was sealed for ``place``; raise FixConfig when no key of ours opens it."""
        version, _, rest = sealed.partition(".")
        key_id, _, text = rest.partition(".")
        key = next((one for one in self.keys if _id(one) == key_id), None)
        if key is None or version != _VERSION:
            raise _unopened(place, f"it was sealed with key {key_id}, which {VARIABLE} does not hold")
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  only who has tokens pays for the import

        data = base64.urlsafe_b64decode(text)
        try:
            return _cipher(key).decrypt(data[:_NONCE], data[_NONCE:], place.encode()).decode()
        except InvalidTag:
            raise _unopened(place, "it was changed, or belongs to another place") from None


def find_sealer() -> Sealer | None:
    """Return the sealer of this installation's key, ``None`` when there is no key."""
    given = os.environ.get(VARIABLE)
    if given:
        return Sealer.of(given)
    found = _from_keyring()
    return Sealer.of(found, f"keyring {SERVICE}/{NAME}") if found else None


def _from_keyring() -> str | None:
    import keyring  # noqa: PLC0415  slow to import, rarely used
    import keyring.errors  # noqa: PLC0415

    with contextlib.suppress(keyring.errors.KeyringError, RuntimeError):
        found: str | None = keyring.get_password(SERVICE, NAME)
        return found
    return None


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        raise _no_key(where, "it is not base64") from None
    if len(key) != _BYTES:
        raise _no_key(where, f"it has {len(key)} bytes instead of {_BYTES}")
    return key


def _id(key: bytes) -> str:
    return hashlib.sha256(b"unisono key id" + key).hexdigest()[:8]


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415  only who has tokens pays for it

    return aead.AESGCM(key)


def _no_key(where: str, why: str) -> FixConfig:
    return FixConfig("this is no key", where=where, why=why, do="make one with `unisono key new`")


def _unopened(place: str, why: str) -> FixConfig:
    do = f"put the old key behind the new one ({VARIABLE}=new,old), or authorise the connection again"
    return FixConfig("a stored token cannot be opened", where=place, why=why, do=do)
