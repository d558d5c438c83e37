"""Blocks every address that is not loopback, so that a test can never depend on the outside."""

from __future__ import annotations

import ipaddress
import socket

_REAL_CONNECT = socket.socket.connect
_REAL_LOOKUP = socket.getaddrinfo
_LOCAL_NAMES = {"localhost", "", None}


class OutsideWorldError(RuntimeError):
    """A test tried to reach an address that is not on this machine."""


def _is_loopback(host: object) -> bool:
    if host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _connect(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):  # type: ignore[index]
        raise OutsideWorldError(f"tests may not connect to {address!r}")
    return _REAL_CONNECT(self, address)


def _lookup(host: object, *args: object, **kwargs: object) -> object:
    if not _is_loopback(host.decode() if isinstance(host, bytes) else host):
        raise OutsideWorldError(f"tests may not look up {host!r}")
    return _REAL_LOOKUP(host, *args, **kwargs)  # type: ignore[arg-type]


def block() -> None:
    """Refuse connections and name look-ups that leave this machine, for the whole test process."""
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.getaddrinfo = _lookup  # type: ignore[assignment]
