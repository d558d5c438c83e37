"""One SQLAlchemy type per kind of value, equal on both stores (ARCHITECTURE §6, "Values").

Instant    UTC, microseconds   SQLite: fixed-width text        PostgreSQL: timestamptz
Amount     decimal(20, 6)      SQLite: integer of millionths   PostgreSQL: numeric(20, 6)
NfcText    Unicode NFC         text on both; NUL and lone surrogates are refused
Json       any JSON            canonical JSON text on both
TextList   list of texts       canonical JSON text on both
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Numeric, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator

from connectors.sdk.errors import SkipRecord

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

SCALE = 6
AMOUNT_LIMIT = 2**63 // 10**SCALE
_MILLION = 10**SCALE


class Instant(TypeDecorator[datetime]):
    """A point in time, to the microsecond; comes back as an aware UTC datetime."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use timestamptz where the store has it."""
        kind = TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a datetime without a zone; write UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise SkipRecord(f"instant without a time zone: {value.isoformat()}")
        return value.astimezone(UTC) if dialect.name == "postgresql" else instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return aware UTC."""
        del dialect
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC)


class Amount(TypeDecorator[Decimal]):
    """An exact decimal with six places; a value that needs more, or does not fit 64 bits, is refused."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use numeric(20, 6) where the store has it."""
        kind = Numeric(20, SCALE) if dialect.name == "postgresql" else BigInteger()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Any:
        """Write millionths on SQLite."""
        if value is None:
            return None
        scaled = _scaled(Decimal(value))
        return Decimal(scaled) / _MILLION if dialect.name == "postgresql" else scaled

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the exact decimal with six places."""
        if value is None:
            return None
        return Decimal(value).quantize(Decimal(1).scaleb(-SCALE)) if dialect.name == "postgresql" else _unscaled(value)


class NfcText(TypeDecorator[str]):
    """Text in Unicode normal form C, without NUL and lone surrogates."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Normalise to NFC; refuse what one of the stores could not hold."""
        del dialect
        return None if value is None else checked_text(value)


class Json(TypeDecorator[Any]):
    """Any JSON value, held as canonical text; Python ``None`` is SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write keys sorted, without spaces, as UTF-8."""
        del dialect
        return None if value is None else json_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Parse the text."""
        del dialect
        return None if value is None else json.loads(value)


class TextList(Json):
    """The values of a multi-valued term, held as a JSON list of texts."""

    cache_ok = True


def instant_text(value: datetime) -> str:
    """Return ``YYYY-MM-DDTHH:MM:SS.ffffffZ``, whose text order is time order."""
    moment = value.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def json_text(value: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, NFC, no NaN."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return checked_text(text)


def checked_text(value: str) -> str:
    """Return the text in NFC; text with a NUL or a lone surrogate raises SkipRecord."""
    if value.isascii():
        if "\x00" in value:
            raise SkipRecord("text holds a NUL character")
        return value
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise SkipRecord("text holds a NUL character or a lone surrogate")
    return unicodedata.normalize("NFC", value)


def _scaled(value: Decimal) -> int:
    scaled = value.scaleb(SCALE)
    if scaled != scaled.to_integral_value() or not -(2**63) <= scaled < 2**63:
        raise SkipRecord(f"decimal {value} does not fit {SCALE} places and {AMOUNT_LIMIT}")
    return int(scaled)


def _unscaled(value: int) -> Decimal:
    return Decimal(value).scaleb(-SCALE)
