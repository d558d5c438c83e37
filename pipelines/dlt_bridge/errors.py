"""What dlt and the libraries below it raise, as errors of ours: who must act, and whether to run again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import requests
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.exceptions import DictValidationException, MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.extract.incremental.exceptions import (
    IncrementalCursorInvalidCoercion,
    IncrementalCursorPathHasValueNone,
    IncrementalCursorPathMissing,
)

from connectors.sdk.errors import FixConfig, RetryLater, StopStream, UnisonoError

_QUERY: Final = re.compile(r"(https?://[^\s?]+)\?\S*")
_PASSWORD: Final = re.compile(r"(\w+://[^\s:/@]+):[^\s@]+@")
_SHORT: Final = 400
_UNAUTHORISED: Final = 401
_OVERLOAD: Final = (429, 503)
_CONFIG: Final = (ConfigurationException, DictValidationException, MissingDependencyException)
_CURSOR: Final = (IncrementalCursorInvalidCoercion, IncrementalCursorPathHasValueNone, IncrementalCursorPathMissing)
_TRANSPORT: Final = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError, TimeoutError)
_DATABASE_AWAY: Final = ("OperationalError", "InterfaceError", "DisconnectionError", "TimeoutError")
_DATABASE_CONFIG: Final = ("NoSuchTableError", "NoSuchModuleError", "ArgumentError", "ProgrammingError")


def refused_status(error: BaseException) -> int | None:
    """Return the HTTP status that ended the read, ``None`` when it was something else."""
    for why in _chain(error):
        if isinstance(why, requests.exceptions.HTTPError) and why.response is not None:
            return int(why.response.status_code)
    return None


def translated(error: Exception, where: str, *, kind: str = "source") -> UnisonoError:
    """Return the error of ours that says what failed, where, why and what to do; secrets in addresses are left out."""
    causes = list(_chain(error))
    for why in causes:
        if isinstance(why, UnisonoError):
            return why
    status = refused_status(error)
    if status is not None:
        return _http(status, where, shown(causes[-1]))
    for why in causes:
        found = _known(why, where)
        if found is not None:
            return found
    last = causes[-1]
    do = f"correct the {kind}, its configuration or its data; what was done before is kept"
    return StopStream(f"dlt's {kind} failed", where=where, why=f"{type(last).__name__}: {shown(last)}", do=do)


def _known(why: BaseException, where: str) -> UnisonoError | None:
    name, text = type(why).__name__, shown(why)
    database = type(why).__module__.startswith("sqlalchemy")
    if isinstance(why, _CURSOR):
        do = "check incremental:; if the field's type has changed at the source, read it again: unisono sync --full"
        return StopStream("the cursor cannot be followed", where=where, why=text, do=do)
    if isinstance(why, _CONFIG) or (database and name in _DATABASE_CONFIG):
        return FixConfig("dlt cannot use this configuration", where=where, why=text, do="correct the dlt: block")
    if isinstance(why, FileNotFoundError | PermissionError):
        return FixConfig(
            "the files cannot be reached", where=where, why=text, do="check bucket_url: and its permissions"
        )
    if isinstance(why, (*_TRANSPORT, DestinationConnectionError)) or (database and name in _DATABASE_AWAY):
        return RetryLater(
            "the other side does not answer", where=where, why=text, do="run again later; what was done is kept"
        )
    return None


def _http(status: int, where: str, text: str) -> UnisonoError:
    if status == _UNAUTHORISED:
        return FixConfig("the credentials were refused", where=where, why=text, do="check the auth: of the dlt block")
    if status in _OVERLOAD:
        return RetryLater("the source is overloaded", where=where, why=text, do="run again later")
    return StopStream(
        f"the source answered with status {status}", where=where, why=text, do="check the resource's endpoint:"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, outermost first."""
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        yield here
        here = here.__cause__ or here.__context__


def shown(why: BaseException) -> str:
    """Return an error's text on one line, not too long, without what may be secret in addresses."""
    text = _PASSWORD.sub(r"\1:***@", _QUERY.sub(r"\1", str(why)))
    return " ".join(text.split())[:_SHORT]
