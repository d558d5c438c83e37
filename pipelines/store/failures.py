"""Database errors translated into the product's own: each says what failed, where, why and what to do."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy.exc import StatementError

from connectors.sdk.errors import RetryLater, StoreFailure, StoreFull, StoreLocked, UnisonoError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL_STATES = {"53100"}
_LOCKED_STATES = {"55P03", "40P01", "40001"}
_GONE_STATES = ("08", "57P0")
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn database and disk errors raised inside into StoreLocked, StoreFull, StoreFailure or RetryLater."""
    try:
        yield
    except StatementError as error:
        if isinstance(error.orig, UnisonoError):
            raise error.orig from error
        _raise_for(error.orig, where, error)
    except sqlite3.Error as error:
        _raise_for(error, where, error)
    except OSError as error:
        if error.errno in _FULL_ERRNOS:
            raise _full(where, error) from error
        raise
    except Exception as error:
        if hasattr(error, "sqlstate"):  # psycopg's, met in COPY, outside SQLAlchemy
            _raise_for(error, where, error)
        raise


def _raise_for(error: BaseException | None, where: str, source: Exception) -> NoReturn:
    found = _sqlite(error, where) if isinstance(error, sqlite3.Error) else _postgresql(error, where)
    if found is None:
        raise source
    raise found from source


def _sqlite(error: sqlite3.Error, where: str) -> UnisonoError | None:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _locked(where, error)
    if name.startswith("SQLITE_FULL"):
        return _full(where, error)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreFailure(
            "the store cannot be written", where=where, why=str(error),
            do="check that the file and its folder exist and belong to the user that runs unisono",
        )  # fmt: skip
    if name.startswith("SQLITE_CONSTRAINT"):
        return _broken_rule(where, error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR")):
        return StoreFailure(
            "the store's file is damaged or its disk fails", where=where, why=str(error),
            do="stop all writers, copy the file away, restore the last backup, then run `unisono doctor`",
        )  # fmt: skip
    return None


def _postgresql(error: BaseException | None, where: str) -> UnisonoError | None:
    state = getattr(error, "sqlstate", None)
    if state in _FULL_STATES:
        return _full(where, error)
    if state in _LOCKED_STATES:
        return _locked(where, error)
    if state is not None and state.startswith("23"):
        return _broken_rule(where, error)
    lost = type(error).__name__ == "OperationalError" and (state is None or state.startswith(_GONE_STATES))
    if lost:
        return RetryLater(
            "the PostgreSQL server does not answer", where=where, why=str(error).strip(),
            do="start the server or correct `store:` in unisono.yaml, then run again; nothing is lost",
        )  # fmt: skip
    return None


def _broken_rule(where: str, error: BaseException | None) -> StoreFailure:
    return StoreFailure(
        "a row breaks a rule of the store's schema", where=where, why=str(error).strip(),
        do="nothing was written; this is a defect of the stage that wrote it: please report it",
    )  # fmt: skip


def _locked(where: str, error: BaseException | None) -> StoreLocked:
    return StoreLocked(
        "the store is locked by another writer", where=where, why=str(error).strip(),
        do="wait for the other run to end (`unisono doctor` names it), then run again; nothing was written",
    )  # fmt: skip


def _full(where: str, error: BaseException | None) -> StoreFull:
    return StoreFull(
        "no space left for the store", where=where, why=str(error).strip(),
        do="free space on that disk, then run again; the interrupted transaction left nothing behind",
    )  # fmt: skip
