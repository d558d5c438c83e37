"""A seeded world of people in which planted values are shared: kiosk phones, role mailboxes, placeholders, family homes.

Each person has one to three records that agree in most things and have typing errors. The same world comes with and
without the planted values, so that what they do can be told from what would have happened anyway.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pipelines.resolve.match_view import match_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


def _words(text: str) -> list[str]:
    return text.split()


GIVEN = _words(
    "Agnes Ahmed Alan Alice Amina Anders Anita Arturo Astrid Bashir Beatriz Berta Boris Bruno Camila Carlos Cecil Chen Clara "
    "Dagmar Deepak Dirk Dolores Dunja Edgar Eileen Elif Emil Erika Esther Fabian Fatima Felix Fiona Florian Gita Goran Greta "
    "Gustav Hamid Hanna Hedwig Hugo Ibrahim Ilona Imre Ines Isaac Ivana Jasper Jelena Joaquin Jolanta Jorge Julian Kaito "
    "Karima Katja Kemal Kiran Lars Laura Leif Lena Lorenzo Lucia Magnus Malika Marta Mehmet Milan Mirjam Nadia Nils Noor "
    "Olga Omar Oskar Paloma Pavel Petra Quentin Rafael Ragna Rashid Renata Rosa Ruben Sabine Samira Selma Signe Sven Tadeusz "
    "Tamara Teresa Umberto Ursula Viktor Vera Wanda Wolfgang Xenia Yusuf Zelda Zoran"
)
HEADS = _words(
    "Adler Berg Cramer Dahl Eck Falk Grün Hag Iver Jern Krag Lind Mohr Nord Ost Pohl Quist Rask Stern Thal Ul Varg Wend Zell"
)
TAILS = [
    "",
    *_words("bach berg by dal e er feld gren hard holm ing lund mann ner o quist rup sen ski son stad ström vic wald"),
]
STREETS = _words(
    "Amsel Birken Canal Dock Elm Forge Garden Hill Island Juniper Kirk Lake Mill North Orchard Park Quay River"
)
CITIES = _words(
    "Aalen Bremen Cork Delft Espoo Faro Ghent Halle Izmir Jena Kiel Lund Metz Nantes Oslo Porto Quimper Riga"
)
ROLE = ("info", "office", "reception", "frontdesk", "ventas", "buchhaltung", "orders", "crew", "practice", "club")
NOTHING = ("0000000000", "1111111111", "1234567890", "9999999999", "5555555555")
NOWHERE = ("none@none.example", "test@test.example", "noemail@noemail.com", "na@na.example", "x@invalid.example")
LEAST, MOST, FAMILY = 2, 500, 6


@dataclass
class Person:
    """Somebody, and what is theirs; planted values are put beside it."""

    number: int
    given: str
    family: str
    birth_date: str
    email: str
    phone: str
    street: str
    city: str
    postcode: str
    planted: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    """The match table of a world, and whose each record is."""

    records: pa.Table
    truth: dict[str, int]


def people(count: int, rng: random.Random) -> list[Person]:
    """Return so many people with a mailbox, a phone and a home of their own."""
    return [_person(number, rng) for number in range(count)]


def _person(number: int, rng: random.Random) -> Person:
    given, family = rng.choice(GIVEN), rng.choice(HEADS) + rng.choice(TAILS)
    born = f"{rng.randint(1940, 2004)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    mailbox = f"{given}.{family}{rng.randint(1, 9999)}@{rng.choice(['mail', 'post', 'web'])}.example".lower()
    home = f"{rng.randint(1, 400)} {rng.choice(STREETS)}{rng.choice([' Street', ' Road', ' Lane'])}"
    return Person(
        number, given, family, born, mailbox, f"07{rng.randint(10**8, 10**9 - 1)}", home, rng.choice(CITIES),
        f"{rng.randint(10_000, 99_999)}",
    )  # fmt: skip


def plant(everybody: list[Person], values: int, rng: random.Random) -> None:
    """Give ``values`` values to 2 to 500 people each (families: to at most six)."""
    kinds = (_kiosk, _mailbox, _placeholder, _home)
    most = min(MOST, len(everybody) // 4)
    for number in range(values):
        size = round(math.exp(rng.uniform(math.log(LEAST), math.log(most))))
        kinds[number % len(kinds)](number, size, everybody, rng)


def _kiosk(number: int, size: int, everybody: list[Person], rng: random.Random) -> None:
    for person in rng.sample(everybody, size):
        person.planted.append(("phone", f"0800{number:06d}"))


def _mailbox(number: int, size: int, everybody: list[Person], rng: random.Random) -> None:
    for person in rng.sample(everybody, size):
        person.planted.append(("email", f"{ROLE[number % len(ROLE)]}@firm{number}.example"))


def _placeholder(number: int, size: int, everybody: list[Person], rng: random.Random) -> None:
    """Return what a form is filled with by who will not say: some of it known to everybody, some the habit of one office."""
    chosen = rng.choice(
        [("phone", rng.choice(NOTHING)), ("email", rng.choice(NOWHERE)), ("phone", f"0{number:06d}000")]
    )
    for person in rng.sample(everybody, size):
        person.planted.append(chosen)


def _home(number: int, size: int, everybody: list[Person], rng: random.Random) -> None:
    """Make a family: one surname, one home, and a phone and a mailbox that all use; given names differ."""
    family: dict[str, Person] = {}
    for person in rng.sample(everybody, min(size, FAMILY)):
        family.setdefault(person.given, person)
    head = next(iter(family.values()))
    for person in family.values():
        person.family, person.street, person.city, person.postcode = head.family, head.street, head.city, head.postcode
        person.planted += [
            ("phone", f"0300{number:06d}"),
            ("email", f"{head.family}.home{number}@mail.example".lower()),
        ]


def world(everybody: Iterable[Person], seed: int) -> World:
    """Return one to three records a person."""
    rows: list[dict[str, Any]] = []
    truth: dict[str, int] = {}
    for person in everybody:
        for copy in range(random.Random(f"{seed}/{person.number}").choice([1, 2, 2, 3])):
            rng = random.Random(f"{seed}/{person.number}/{copy}")
            ref = f"crm/contact/{person.number:06d}{copy}"
            truth[ref] = person.number
            rows.append({"source_record_id": len(rows), "source_ref": ref, **_record(person, rng)})
    return World(match_table("person", {name: [row[name] for row in rows] for name in rows[0]}), truth)


def _record(person: Person, rng: random.Random) -> dict[str, Any]:
    """Write a person down once: a few things missing, one mistyped now and then, a planted value beside theirs or where they give none."""
    lists = {
        "email": [person.email] if rng.random() < 0.75 else [],
        "phone": [person.phone] if rng.random() < 0.65 else [],
    }
    born = person.birth_date if rng.random() < 0.7 else None
    home = rng.random() < 0.7
    typo, place = rng.random(), rng.random()
    for kind, value in person.planted:
        if rng.random() < 0.8:
            lists[kind].append(value)
    return {
        "given_name": _mistyped(person.given, place) if typo < 0.06 else person.given,
        "family_name": _mistyped(person.family, place) if 0.06 < typo < 0.12 else person.family,
        "birth_date": born, "street": person.street if home else None, "city": person.city if home else None,
        "postcode": person.postcode if home else None, "emails": sorted(set(lists["email"])), "phones": sorted(set(lists["phone"])),
    }  # fmt: skip


def _mistyped(text: str, place: float) -> str:
    if len(text) < 3:
        return text
    at = 1 + int(place * (len(text) - 2))
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def pairs(labels: Iterable[int], truth: Iterable[int]) -> tuple[set[tuple[int, int]], int, int]:
    """Return the pairs of different people that share a cluster, the true pairs that were found, and all of them."""
    clusters: dict[int, list[int]] = {}
    owners: dict[int, list[int]] = {}
    for label, owner in zip(labels, truth, strict=True):
        clusters.setdefault(label, []).append(owner)
        owners.setdefault(owner, []).append(label)
    wrong = {pair for held in clusters.values() for pair in combinations(sorted(set(held)), 2)}
    both = [combinations(found, 2) for found in owners.values()]
    same = [one == other for each in both for one, other in each]
    return wrong, sum(same), len(same)
