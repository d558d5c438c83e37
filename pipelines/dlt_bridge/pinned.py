"""Where a requests session may connect to: names are resolved once, every answer is judged, that address is connected to.

What is out of bounds is said in ``connectors.sdk.guard``, for the fetch engine and for dlt alike. With a proxy in the
environment the proxy resolves names, and is the operator's guard.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from connectors.sdk.guard import system_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectors.sdk.guard import Guard

    Lookup = Callable[[str, int], Sequence[str]]


class PinnedAdapter(HTTPAdapter):
    """Opens connections to admitted addresses only; raises ForbiddenAddress before anything is sent elsewhere."""

    def __init__(self, guard: Guard, lookup: Lookup = system_addresses, **options: Any) -> None:
        self._guard, self._lookup = guard, lookup
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools whose connections look a name up through the guard."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._admitted)

    def _admitted(self, host: str, port: int) -> Sequence[str]:
        return self._guard.admitted(host, port, self._lookup(host, port))


def _pools(addresses: Lookup) -> dict[str, Any]:
    """Return pools of connections that ask ``addresses`` instead of the system where a name leads."""

    class Plain(_Pinned, HTTPConnection):
        lookup = staticmethod(addresses)

    class Secure(_Pinned, HTTPSConnection):
        lookup = staticmethod(addresses)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Pinned(HTTPConnection):
    """Connects to an address that was judged; TLS still verifies the name."""

    lookup: Lookup

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            found = self.lookup(name, self.port or self.default_port)
        except socket.gaierror as why:
            raise NameResolutionError(self.host, self, why) from why
        failure: HTTPError = NewConnectionError(self, f"{name} has no address")
        for address in found:
            self._dns_host = address
            try:
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as why:
                failure = why
            finally:
                self._dns_host = name
        raise failure
