"""Which network addresses a connection may reach, decided after its names are resolved, for the very address used.

A vendor's name, a next link or a token URL may resolve to this machine, to its network or to a cloud's metadata
service. Those are refused. The operator's own word lifts that: ``allow_private_networks: true``, or a ``base_url`` that
is itself a literal loopback or private address, for exactly that host and port. Link-local and metadata addresses
stay closed whatever is said.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# Public by their number, yet answered inside a cloud only; and private ones that must not be opened with the rest.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)  # fmt: skip
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_SPECIAL: Final = ipaddress.IPv4Network("192.0.0.0/24")  # some Pythons call parts of it global
_V4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class ForbiddenAddress(Exception):
    """A name leads to an address that this connection may not reach."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses the operating system gives for a name, in its order."""
    return _distinct(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def system_addresses(host: str, port: int) -> Sequence[str]:
    """Return the same to code that is not asynchronous."""
    return _distinct(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _distinct(found: Sequence[tuple[Any, ...]]) -> Sequence[str]:
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class Guard:
    """Resolves names and returns only addresses that may be connected to; nobody resolves a second time."""

    permitted: frozenset[tuple[str, int]] = frozenset()
    allow_private: bool = False
    resolve: Resolve = field(default=system_resolver)

    @classmethod
    def of(cls, host: str, port: int, *, allow_private: bool = False, resolve: Resolve = system_resolver) -> Guard:
        """Return the guard of a connection whose base_url names ``host`` and ``port``."""
        own = frozenset({(host.lower(), port)}) if _names_itself(host) else frozenset()
        return cls(own, allow_private, resolve)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return every address of a name; raise ForbiddenAddress if even one of them is out of bounds."""
        return self.admitted(host, port, await self.resolve(host, port))

    def admitted(self, host: str, port: int, found: Sequence[str]) -> Sequence[str]:
        """Return the addresses that a name was resolved to; raise ForbiddenAddress if even one is out of bounds."""
        private_is_fine = self.allow_private or (host.lower(), port) in self.permitted
        for text in found:
            why = _fault(ipaddress.ip_address(text.partition("%")[0]), private_is_fine=private_is_fine)
            if why is not None:
                raise ForbiddenAddress(f"{host} leads to {text}, {why}")
        return found


def _names_itself(host: str) -> bool:
    """Return whether a host is written as an address of its own, so that no resolver can have put it there."""
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _fault(address: Address, *, private_is_fine: bool) -> str | None:
    """Return why an address may not be reached, ``None`` if it may."""
    inner = _embedded(address)
    if inner is not None:
        return _fault(inner, private_is_fine=private_is_fine)
    if address in _METADATA or address.is_link_local:
        return "a link-local or metadata address"
    if address.is_multicast or address.is_unspecified:
        return "no address of a single host"
    if private_is_fine or _is_public(address):
        return None
    return "a loopback address" if address.is_loopback else "an address that is not public"


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and address not in _SPECIAL
    return address.is_global and not address.is_site_local and not address.is_reserved


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for: mapped, compatible, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _NAT64) or (address in _V4_COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
