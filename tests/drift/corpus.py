"""A corpus for the drift radar: a stream of made-up contacts, each class of drift planted alone and together, and clean reloads.

Every case is (name, change of a record, what must be found). Data are drawn anew for each load, so that a clean reload differs
from the first load in every value.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

Record = dict[str, Any]
Change = Callable[[Record, random.Random], None]
Expected = set[tuple[str, str]]

_FIRST = [
    "Ada",
    "Bo",
    "Carl",
    "Dai",
    "Eve",
    "Finn",
    "Gus",
    "Hana",
    "Ivo",
    "Jo",
    "Kim",
    "Lev",
    "Mia",
    "Noa",
    "Oda",
    "Pia",
]


def record(number: int, rng: random.Random) -> Record:
    """A contact with constants, optional and null fields, a map, lists, words, numbers of three shapes, and times."""
    return {
        "id": str(number),
        "email": f"{rng.choice(_FIRST).lower()}{rng.randrange(10**6)}@example.org",
        "name": f"{rng.choice(_FIRST)} {rng.choice(_FIRST)}{rng.choice(['', ' van Dijk', '-Smith'])}",
        "status": rng.choices(["lead", "customer", "lost"], [5, 4, 1])[0],
        "age": rng.randint(18, 90),
        "spend": round(rng.lognormvariate(4, 1), 2),
        "score": None if rng.random() < 0.3 else rng.randint(0, 10),
        "active": rng.random() < 0.8,
        "phone": "" if rng.random() < 0.25 else f"+4420{rng.randrange(10**7, 10**8)}",
        "address": {"city": rng.choice(["Paris", "Rome", "Oslo", "Bern"]), "zip": f"{rng.randrange(10**4, 10**5)}"},
        "tags": [rng.choice(["a", "b", "c"]) for _ in range(rng.randint(0, 3))],
        "orders": [{"total": rng.randint(1, 500), "paid": rng.random() < 0.9} for _ in range(rng.randint(0, 2))],
        "created_at": f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T10:00:00Z",
        "seen": 1_760_000_000 + rng.randrange(10**7),
        **({"nickname": rng.choice(_FIRST)} if rng.random() < 0.4 else {}),
    }


def _put(path: str, value: Callable[[random.Random], Any], share: float = 1.0) -> Change:
    def change(one: Record, rng: random.Random) -> None:
        *head, last = path.split(".")
        for name in head:
            one = one[name]
        if rng.random() < share:
            one[last] = value(rng)

    return change


def _drop(path: str) -> Change:
    def change(one: Record, _: random.Random) -> None:
        *head, last = path.split(".")
        for name in head:
            one = one[name]
        one.pop(last, None)

    return change


def _each_order(name: str, value: Callable[[random.Random], Any]) -> Change:
    def change(one: Record, rng: random.Random) -> None:
        for order in one["orders"]:
            order[name] = value(rng)

    return change


ALONE: list[tuple[str, Change, Expected]] = [
    ("added everywhere", _put("plan", lambda _: "pro"), {("plan", "added")}),
    ("added in a tenth", _put("plan", lambda r: r.choice(["pro", "free"]), 0.1), {("plan", "added")}),
    ("added object", _put("owner", lambda r: {"id": r.randrange(9), "mail": "x@y.z"}), {("owner", "added")}),
    (
        "added below an object",
        _put("address.street", lambda r: f"Road {r.randrange(99)}"),
        {("address.street", "added")},
    ),
    ("added in a list", _each_order("tax", lambda r: r.randrange(20)), {("orders[*].tax", "added")}),
    ("added null", _put("vip", lambda _: None), {("vip", "added")}),
    ("added list", _put("segments", lambda r: [r.randrange(5)]), {("segments", "added")}),
    ("removed text", _drop("email"), {("email", "removed")}),
    ("removed optional", _drop("nickname"), {("nickname", "removed")}),
    ("removed object", _drop("address"), {("address", "removed")}),
    ("removed below an object", _drop("address.zip"), {("address.zip", "removed")}),
    ("removed list", _drop("orders"), {("orders", "removed")}),
    (
        "removed in a list",
        lambda one, _: [order.pop("paid") for order in one["orders"]] and None,
        {("orders[*].paid", "removed")},
    ),
    ("removed flag", _drop("active"), {("active", "removed")}),
    ("text to number", _put("email", lambda r: r.randrange(99)), {("email", "retyped")}),
    ("number to text", _put("age", lambda r: f"{r.randint(18, 90)}"), {("age", "retyped")}),
    ("flag to text", _put("active", lambda r: r.choice(["yes", "no"])), {("active", "retyped")}),
    ("text to object", _put("name", lambda _: {"first": "A", "last": "B"}), {("name", "retyped")}),
    ("object to text", _put("address", lambda _: "12 Road, Rome"), {("address", "retyped")}),
    ("list to text", _put("tags", lambda _: "a,b"), {("tags", "retyped")}),
    ("retyped in a list", _each_order("total", lambda r: f"{r.randint(1, 500)}"), {("orders[*].total", "retyped")}),
    ("integer to number", _put("age", lambda r: r.randint(18, 90) + 0.5), {("age", "widened")}),
    ("some numbers among integers", _put("age", lambda r: r.randint(18, 90) + 0.5, 0.2), {("age", "widened")}),
    ("some text among numbers", _put("age", lambda _: "unknown", 0.1), {("age", "widened")}),
    ("some objects among texts", _put("name", lambda _: {"full": "A"}, 0.1), {("name", "widened")}),
    ("some lists among texts", _put("email", lambda _: ["a@b.c"], 0.1), {("email", "widened")}),
    ("null in a tenth", _put("email", lambda _: None, 0.1), {("email", "nullability")}),
    ("null in a third", _put("status", lambda _: None, 0.33), {("status", "nullability")}),
    ("null below an object", _put("address.zip", lambda _: None, 0.2), {("address.zip", "nullability")}),
    ("null list", _put("tags", lambda _: None, 0.2), {("tags", "nullability")}),
    ("a new word", _put("status", lambda _: "partner", 0.1), {("status", "enum")}),
    ("new words", _put("status", lambda r: r.choice(["partner", "vendor"]), 0.2), {("status", "enum")}),
    ("a word in other letters", _put("status", lambda _: "CUSTOMER", 0.1), {("status", "enum")}),
    ("a new word below an object", _put("address.city", lambda _: "Lima", 0.1), {("address.city", "enum")}),
    ("filled less", _put("phone", lambda _: "", 0.6), {("phone", "fill")}),
    ("filled more", _put("score", lambda r: r.randint(0, 10)), {("score", "fill")}),
    ("optional more often", _put("nickname", lambda r: r.choice(_FIRST)), {("nickname", "fill")}),
    ("null more often", _put("score", lambda _: None, 0.5), {("score", "fill")}),
    (
        "numbers in another unit",
        _put("spend", lambda r: round(r.lognormvariate(4, 1) * 100, 2)),
        {("spend", "distribution")},
    ),
    ("numbers moved", _put("age", lambda r: r.randint(50, 90)), {("age", "distribution")}),
    ("one number for all", _put("age", lambda _: 30), {("age", "distribution")}),
    (
        "texts in another format",
        _put("phone", lambda r: f"tel:+44-20-{r.randrange(10**4, 10**8)}-x"),
        {("phone", "fill"), ("phone", "distribution")},
    ),
    ("texts cut", lambda one, _: one.update(name=one["name"][:4]), {("name", "distribution")}),
    (
        "words in other shares",
        _put("status", lambda r: r.choices(["lead", "lost"], [1, 9])[0], 0.7),
        {("status", "distribution")},
    ),
    ("a flag turned round", _put("active", lambda r: r.random() < 0.3), {("active", "distribution")}),
]


def cases() -> Iterator[tuple[str, list[Change], Expected]]:
    """Every class alone, then pairs and triples of changes at different places, then clean reloads."""
    for name, change, expected in ALONE:
        yield name, [change], expected
    rng = random.Random(7)
    for number in range(20):
        chosen = []
        for case in rng.sample(ALONE, len(ALONE)):
            roots = {path.split(".")[0].split("[")[0] for _, _, found in chosen for path, _ in found}
            if not roots & {path.split(".")[0].split("[")[0] for path, _ in case[2]}:
                chosen.append(case)
            if len(chosen) == 2 + number % 3:
                break
        expected = set().union(*(found for _, _, found in chosen))
        yield f"together: {', '.join(name for name, _, _ in chosen)}", [change for _, change, _ in chosen], expected
    for number in range(25):
        yield f"clean reload {number}", [], set()


def load(size: int, seed: int, changes: list[Change]) -> list[Record]:
    """Draw one load; ``changes`` are applied to each record."""
    rng = random.Random(seed)
    found = []
    for _ in range(size):
        one = record(rng.randrange(10**9), rng)
        for change in changes:
            change(one, rng)
        found.append(one)
    return found
