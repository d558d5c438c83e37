"""The true organisations of the world, and the staff of the company that runs the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dirt import handle
from .material import Country, Rng, companies, countries, fill, pick, texts
from .rows import Link, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

STAFF = 40
_ALSO_CUSTOMERS = 3


def build_organizations(count: int, first: int, rng: Rng) -> Rows:
    """Return ``count`` organisations numbered from ``first`` with distinct names and domains."""
    names = _names(count, first, rng)
    places = pick(list(countries()), count, rng)
    words = [name.split()[-1] for name in names]
    cities = [c.cities[u] for c, u in zip(places, rng.integers(0, 8, count).tolist(), strict=True)]
    domains = [f"{handle(name)}{first or ''}.example" for name in names]
    columns: dict[str, Sequence[Any]] = {
        "number": list(range(first, first + count)),
        "name": names,
        "legal_name": [f"{n} {f}" for n, f in zip(names, _forms(places, rng), strict=True)],
        "domain": domains,
        "industry": [companies()["industries"][word] for word in words],
        "employees": (10 ** rng.uniform(0.5, 4, count)).astype(int).tolist(),
        "revenue": (10 ** rng.uniform(5, 8, count)).astype(int).tolist(),
        "phone": [fill(c.landline, 1, rng)[0] for c in places],
        "street": [_street(c, rng) for c in places],
        "postcode": [fill(c.postcode, 1, rng)[0] for c in places],
        "city": [city for city, _ in cities],
        "region": [region for _, region in cities],
        "country": [c.code for c in places],
        "calling_code": [c.calling_code for c in places],
        "mailbox": pick(companies()["role_mailboxes"], count, rng),
    }
    return Rows(count, columns)


def build_staff(people: Rows, rng: Rng) -> Rows:
    """Return the employees of the demo's own company; the first three are also customers of it."""
    size = min(STAFF, people.count)
    given, family = people.column("given_name")[:size], people.column("family_name")[:size]
    domain = companies()["own_domain"]
    emails = [f"{handle(g)}.{handle(f)}{i}@{domain}" for i, (g, f) in enumerate(zip(given, family, strict=True))]
    columns: dict[str, Sequence[Any]] = {
        "number": list(range(size)),
        "given_name": list(given),
        "family_name": list(family),
        "email": emails,
        "department": pick(texts()["department"], size, rng),
        "phone": list(people.column("phone")[:size]),
        "language": list(people.column("language")[:size]),
        "time_zone": list(people.column("time_zone")[:size]),
    }
    return Rows(size, columns, {"person": Link(people, [i if i < _ALSO_CUSTOMERS else None for i in range(size)])})


def _names(count: int, first: int, rng: Rng) -> list[str]:
    one, two = companies()["first"], companies()["second"]
    order = rng.permutation(len(one) * len(two))[: count or None].tolist()
    if count > len(order):
        message = f"at most {len(order)} organisations a block, {count} asked (numbered from {first})"
        raise ValueError(message)
    return [f"{one[i % len(one)]} {two[i // len(one)]}" for i in order[:count]]


def _forms(places: list[Country], rng: Rng) -> list[str]:
    options = companies()["forms"]
    return [options[c.code][u % len(options[c.code])] for c, u in zip(places, _draws(places, rng), strict=True)]


def _draws(places: list[Country], rng: Rng) -> list[int]:
    return [int(u) for u in rng.integers(0, 60, len(places)).tolist()]


def _street(country: Country, rng: Rng) -> str:
    street, number = country.streets[int(rng.integers(0, 12))], int(rng.integers(1, 99))
    return country.house.replace("{n}", str(number)).replace("{street}", street)
