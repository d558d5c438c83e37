"""The true people of the world: households with shared surnames, homes, landlines and family mailboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .dirt import handle
from .material import Country, Rng, companies, countries, fill, flags, pick
from .rows import Link, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY_MS = 86_400_000
_FAR = 36_525
_ADULTS = 2


@dataclass
class _Homes:
    """Households by column; ``members`` has the household of each person, ``rank`` the place in it."""

    members: list[int]
    rank: list[int]
    country: list[Country]
    family: list[str]
    street: list[str]
    old_street: list[str]
    city: list[tuple[str, str]]
    postcode: list[str]
    landline: list[str]
    mailbox: list[str | None]


def build_people(count: int, first: int, organizations: Rows, rng: Rng) -> Rows:
    """Return ``count`` people numbered from ``first``; some work for one of ``organizations``."""
    homes = _homes(count, first, rng)
    home = homes.members
    country = [homes.country[h] for h in home]
    female = flags(0.52, count, rng)
    given = _given_names(country, female, rng)
    family = _family_names(homes, country, rng)
    born = _birth_dates(homes.rank, rng)
    org = _employers(country, organizations, rng)
    columns: dict[str, Sequence[Any]] = {
        "number": list(range(first, first + count)),
        "household": [h + first for h in home],
        "sex": ["female" if f else "male" for f in female],
        "given_name": given,
        "family_name": family,
        "maiden_name": _maiden_names(homes.rank, female, country, rng),
        "nickname": [c.nicknames.get(name) for c, name in zip(country, given, strict=True)],
        "birth_date": born,
        "job_title": pick(companies()["job_titles"], count, rng),
        "phone": _by_country([c.mobile for c in country], rng),
        "personal_email": _emails(given, family, born, country, first, rng),
        "work_email": _work_emails(given, family, country, org, organizations),
        "country": [c.code for c in country],
        "calling_code": [c.calling_code for c in country],
        "language": [c.language for c in country],
        "time_zone": [c.time_zone for c in country],
        **_home_columns(homes),
    }
    columns["old_email"] = _old_emails(given, family, country, first, rng)
    return Rows(count, columns, {"org": Link(organizations, org)})


def _homes(count: int, first: int, rng: Rng) -> _Homes:
    sizes = rng.choice([1, 2, 3, 4], size=count, p=[0.62, 0.24, 0.08, 0.06])
    total = int(np.searchsorted(np.cumsum(sizes), count)) + 1
    members = np.repeat(np.arange(total), sizes[:total])[:count]
    starts = np.concatenate(([0], np.cumsum(sizes[:total])[:-1]))
    rank = np.arange(count) - starts[members]
    all_countries = list(countries())
    weights = np.array([c.weight for c in all_countries])
    chosen = [all_countries[i] for i in rng.choice(len(all_countries), size=total, p=weights / weights.sum()).tolist()]
    family = [c.family[u] for c, u in zip(chosen, rng.integers(0, 36, total).tolist(), strict=True)]
    shared = flags(0.3, total, rng)
    mailbox = [
        f"{handle(f, c.code)}.family{first + i}@mailbox.example" if s and size > 1 else None
        for i, (f, c, s, size) in enumerate(zip(family, chosen, shared, sizes[:total].tolist(), strict=True))
    ]
    return _Homes(
        members.tolist(), rank.tolist(), chosen, family, _streets(chosen, rng), _streets(chosen, rng),
        [c.cities[u] for c, u in zip(chosen, rng.integers(0, 8, total).tolist(), strict=True)],
        _by_country([c.postcode for c in chosen], rng), _by_country([c.landline for c in chosen], rng), mailbox,
    )  # fmt: skip


def _home_columns(homes: _Homes) -> dict[str, list[str | None]]:
    at = homes.members
    return {
        "street": [homes.street[h] for h in at],
        "old_street": [homes.old_street[h] for h in at],
        "city": [homes.city[h][0] for h in at],
        "region": [homes.city[h][1] for h in at],
        "postcode": [homes.postcode[h] for h in at],
        "landline": [homes.landline[h] for h in at],
        "family_email": [homes.mailbox[h] for h in at],
    }


def _streets(chosen: list[Country], rng: Rng) -> list[str]:
    at = rng.integers(0, 12, len(chosen)).tolist()
    numbers = rng.integers(1, 180, len(chosen)).tolist()
    drawn = zip(chosen, at, numbers, strict=True)
    return [c.house.replace("{n}", str(n)).replace("{street}", c.streets[i]) for c, i, n in drawn]


def _by_country(patterns: list[str], rng: Rng) -> list[str]:
    """Fill each row's own pattern, one pass for each distinct pattern."""
    result = [""] * len(patterns)
    for pattern in sorted(set(patterns)):
        at = [i for i, p in enumerate(patterns) if p == pattern]
        for i, text in zip(at, fill(pattern, len(at), rng), strict=True):
            result[i] = text
    return result


def _given_names(country: list[Country], female: list[bool], rng: Rng) -> list[str]:
    draws = (rng.beta(0.9, 1.6, len(country)) * 20).astype(int).clip(0, 19).tolist()
    return [(c.female if f else c.male)[u] for c, f, u in zip(country, female, draws, strict=True)]


def _family_names(homes: _Homes, country: list[Country], rng: Rng) -> list[str]:
    own = flags(0.12, len(country), rng)
    draws = rng.integers(0, 36, len(country)).tolist()
    drawn = zip(homes.members, homes.rank, own, country, draws, strict=True)
    return [c.family[u] if o and rank else homes.family[h] for h, rank, o, c, u in drawn]


def _maiden_names(rank: list[int], female: list[bool], country: list[Country], rng: Rng) -> list[str | None]:
    chosen = flags(0.4, len(rank), rng)
    draws = rng.integers(0, 36, len(rank)).tolist()
    drawn = zip(rank, female, chosen, country, draws, strict=True)
    return [c.family[u] if f and yes and r < _ADULTS else None for r, f, yes, c, u in drawn]


def _birth_dates(rank: list[int], rng: Rng) -> list[str]:
    adult = np.array(rank) < _ADULTS
    age = np.where(adult, rng.integers(24 * 365, 79 * 365, len(rank)), rng.integers(16 * 365, 24 * 365, len(rank)))
    days = np.datetime64("2025-06-01") - age.astype("timedelta64[D]")
    return [str(day) for day in np.datetime_as_string(days).tolist()]


def _employers(country: list[Country], organizations: Rows, rng: Rng) -> list[int | None]:
    """Return for each person the position of the employer, in the same country where one exists."""
    by_country: dict[str, list[int]] = {}
    for i, code in enumerate(organizations.column("country")):
        by_country.setdefault(code, []).append(i)
    everywhere = list(range(organizations.count))
    employed = flags(0.6, len(country), rng)
    draws = rng.integers(0, _FAR, len(country)).tolist()
    pools = [by_country.get(c.code, everywhere) for c in country]
    drawn = zip(pools, employed, draws, strict=True)
    return [pool[u % len(pool)] if yes and pool else None for pool, yes, u in drawn]


def _emails(
    given: list[str], family: list[str], born: list[str], country: list[Country], first: int, rng: Rng
) -> list[str]:
    styles = rng.integers(0, 5, len(given)).tolist()
    hosts = pick(companies()["private_domains"], len(given), rng)
    taken: set[str] = set()
    result = []
    for i, (g, f, day, c) in enumerate(zip(given, family, born, country, strict=True)):
        a, b = handle(g, c.code), handle(f, c.code)
        local = (f"{a}.{b}", f"{a[0]}{b}", f"{a}_{b}", f"{b}.{a}", f"{a}{day[2:4]}")[styles[i]]
        if first or f"{local}@{hosts[i]}" in taken:
            local += str(first + i)
        taken.add(f"{local}@{hosts[i]}")
        result.append(f"{local}@{hosts[i]}")
    return result


def _old_emails(given: list[str], family: list[str], country: list[Country], first: int, rng: Rng) -> list[str | None]:
    kept = flags(0.4, len(given), rng)
    drawn = zip(given, family, country, kept, strict=True)
    return [
        f"{handle(g, c.code)[:3]}{handle(f, c.code)[:4]}{first + i}@oldmail.example" if yes else None
        for i, (g, f, c, yes) in enumerate(drawn)
    ]


def _work_emails(
    given: list[str], family: list[str], country: list[Country], org: list[int | None], organizations: Rows
) -> list[str | None]:
    domains = organizations.column("domain")
    taken: set[str] = set()

    def addresses() -> Iterator[str | None]:
        for i, (g, f, c, at) in enumerate(zip(given, family, country, org, strict=True)):
            if at is None:
                yield None
                continue
            local = f"{handle(g, c.code)}.{handle(f, c.code)}"
            local += str(i) if f"{local}@{domains[at]}" in taken else ""
            taken.add(f"{local}@{domains[at]}")
            yield f"{local}@{domains[at]}"

    return list(addresses())
