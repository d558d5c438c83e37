"""How one system knows the people, organisations and staff: true rows seen through dirt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .dirt import PLACEHOLDER_PHONES, Dirt, e164, email_typo, fold, initials, typo, written_phone
from .rows import Link, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .material import Rng

Text = str | None
_STYLE_WEIGHTS = (0.28, 0.3, 0.1, 0.12, 0.15, 0.05)
_THREE_YEARS = 3 * 365 * 86_400_000


def view_people(people: Rows, at: Sequence[int], dirt: Dirt, now: int, rng: Rng) -> Rows:
    """Return the rows of ``people`` at the positions ``at`` as a system would hold them."""
    view = _View(people, at, rng)
    given, family = _names(view, dirt)
    email = _emails(view, dirt)
    created, updated = times(len(at), now, rng)
    phone, mobile = _phones(view, dirt)
    columns: dict[str, Sequence[Any]] = {
        "given_name": given,
        "family_name": family,
        "full_name": [" ".join(n for n in pair if n) or None for pair in zip(given, family, strict=True)],
        "email": email,
        "other_emails": _second_emails(view, dirt, email),
        "phone": phone,
        "mobile": mobile,
        **_address(view, dirt),
        "birth_date": view.without("birth_date", dirt.no_birth_date),
        "company": _company(view, dirt),
        "job_title": view.without("job_title", dirt.no_job_title),
        "language": view.true("language"),
        "time_zone": view.true("time_zone"),
        "created": created,
        "updated": updated,
    }
    org = people.links["org"]
    links = {"person": Link(people, list(at)), "org": Link(org.rows, [org.at[i] for i in at])}
    return Rows(len(at), columns, links)


def view_organizations(organizations: Rows, at: Sequence[int], dirt: Dirt, now: int, rng: Rng) -> Rows:
    """Return organisations as a system would hold them: legal or short name, sometimes a slip or no domain."""
    view = _View(organizations, at, rng)
    created, updated = times(len(at), now, rng)
    name = view.mixed("legal_name", "name", dirt.short_company)
    columns: dict[str, Sequence[Any]] = {
        "name": view.changed(name, dirt.typo / 2, lambda text, i: typo(text, view.draw(i))),
        "domain": view.without("domain", 0.1),
        "phone": [
            written_phone(p, c, code, style)
            for p, c, code, style in zip(*view.numbers("phone"), view.styles(dirt.free_phone), strict=True)
        ],
        "created": created,
        "updated": updated,
    }
    kept = ("industry", "employees", "revenue", "street", "postcode", "city", "region", "country", "mailbox")
    columns.update({column: view.true(column) for column in kept})
    return Rows(len(at), columns, {"org": Link(organizations, list(at))})


def view_staff(staff: Rows, at: Sequence[int], now: int, rng: Rng) -> Rows:
    """Return employees as a system would hold them: clean, because the company keeps them itself."""
    created, updated = times(len(at), now, rng)
    columns = {name: [values[i] for i in at] for name, values in staff.columns.items() if name != "number"}
    return Rows(len(at), {**columns, "created": created, "updated": updated}, {"staff": Link(staff, list(at))})


def times(count: int, now: int, rng: Rng) -> tuple[list[int], list[int]]:
    """Return (created, updated) in epoch ms: up to three years back, updates leaning to the present."""
    created = now - rng.integers(3_600_000, _THREE_YEARS, count)
    since = (now - created) * rng.beta(0.6, 1.6, count)
    return created.tolist(), (now - since.astype(np.int64)).tolist()


class _View:
    """Draws and true values of the chosen rows."""

    def __init__(self, source: Rows, at: Sequence[int], rng: Rng) -> None:
        self.source, self.at, self.rng = source, at, rng
        self.count = len(at)
        self._draws = rng.integers(0, 1 << 30, self.count).tolist()

    def draw(self, i: int) -> int:
        return int(self._draws[i])

    def true(self, column: str) -> list[Any]:
        values = self.source.columns[column]
        return [values[i] for i in self.at]

    def hits(self, chance: float) -> list[int]:
        return [int(i) for i in np.flatnonzero(self.rng.random(self.count) < chance)] if chance else []

    def changed(self, values: list[Any], chance: float, change: Callable[[str, int], Text]) -> list[Any]:
        """Apply ``change(value, row)`` in place to a share of the non-null values."""
        for i in self.hits(chance):
            if values[i] is not None:
                values[i] = change(values[i], i)
        return values

    def without(self, column: str, chance: float) -> list[Any]:
        return self.changed(self.true(column), chance, lambda _text, _i: None)

    def mixed(self, column: str, other: str, chance: float) -> list[Any]:
        """Return ``column``, in a share of the rows ``other`` where that is not null."""
        values, others = self.true(column), self.source.columns[other]
        for i in self.hits(chance):
            values[i] = others[self.at[i]] or values[i]
        return values

    def numbers(self, column: str) -> tuple[list[Any], list[Any], list[Any]]:
        return self.true(column), self.true("country"), self.true("calling_code")

    def styles(self, free: float) -> list[int]:
        """Return a way of writing each phone number; the international ones are the most frequent."""
        written = self.rng.random(self.count) < free
        drawn = self.rng.choice(len(_STYLE_WEIGHTS), size=self.count, p=_STYLE_WEIGHTS)
        return [int(style) for style in np.where(written, drawn, 0)]


def _names(view: _View, dirt: Dirt) -> tuple[list[Text], list[Text]]:
    given = view.mixed("given_name", "nickname", dirt.nickname)
    family = view.mixed("family_name", "maiden_name", dirt.maiden)
    country = view.true("country")
    for values, lost in ((given, dirt.no_given), (family, dirt.no_family)):
        view.changed(values, dirt.folded, lambda text, i: fold(text, country[i]))
        view.changed(values, dirt.typo, lambda text, i: typo(text, view.draw(i)))
        view.changed(values, lost, lambda _text, _i: None)
    view.changed(given, dirt.initial, lambda text, _i: initials([text]))
    for chance, change in ((dirt.shouting, str.upper), (dirt.lower, str.lower)):
        for i in view.hits(chance):
            given[i], family[i] = (n and change(n) for n in (given[i], family[i]))
    for i in view.hits(dirt.swapped):
        given[i], family[i] = family[i], given[i]
    return given, family


def _emails(view: _View, dirt: Dirt) -> list[Text]:
    emails = view.mixed("personal_email", "work_email", dirt.work_email)
    for other, chance in (("old_email", dirt.old_email), ("family_email", dirt.family_email)):
        values = view.true(other)
        for i in view.hits(chance):
            emails[i] = values[i] or emails[i]
    org = view.source.links["org"]
    for i in view.hits(dirt.role_email):
        employer = org.at[view.at[i]]
        if employer is not None:
            emails[i] = f"{org.rows.columns['mailbox'][employer]}@{org.rows.columns['domain'][employer]}"
    view.changed(emails, dirt.email_typo, lambda text, i: email_typo(text, view.draw(i)))
    view.changed(emails, dirt.email_case, lambda text, i: text.upper() if view.draw(i) % 2 else text.title())
    return view.changed(emails, dirt.no_email, lambda _text, _i: None)


def _second_emails(view: _View, dirt: Dirt, first: list[Text]) -> list[list[str]]:
    """Return for each row the further addresses known: usually none, sometimes work or private beside it."""
    result: list[list[str]] = [[] for _ in range(view.count)]
    work, private = view.true("work_email"), view.true("personal_email")
    for i in view.hits(dirt.second_email):
        result[i] = [e for e in (work[i], private[i]) if e and e != first[i]][:1]
    return result


def _phones(view: _View, dirt: Dirt) -> tuple[list[Text], list[Text]]:
    """Return the main phone (mobile, or the household's landline) and the mobile in normal form."""
    numbers, country, code = view.numbers("phone")
    mobile = [e164(p, c, k) for p, c, k in zip(numbers, country, code, strict=True)]
    landline = view.true("landline")
    for i in view.hits(dirt.landline):
        numbers[i] = landline[i]
    written: list[Text] = [
        written_phone(p, c, k, style)
        for p, c, k, style in zip(numbers, country, code, view.styles(dirt.free_phone), strict=True)
    ]
    view.changed(written, dirt.placeholder_phone, lambda _t, i: PLACEHOLDER_PHONES[view.draw(i) % 4])
    return (
        view.changed(written, dirt.no_phone, lambda _text, _i: None),
        view.changed(list(mobile), dirt.no_phone, lambda _text, _i: None),
    )


def _address(view: _View, dirt: Dirt) -> dict[str, list[Text]]:
    columns = {"street": view.mixed("street", "old_street", dirt.old_address)}
    columns |= {name: view.true(name) for name in ("postcode", "city", "region", "country")}
    for i in view.hits(dirt.no_address):
        for values in columns.values():
            values[i] = None
    return columns


def _company(view: _View, dirt: Dirt) -> list[Text]:
    org = view.source.links["org"]
    names = {False: org.rows.columns["legal_name"], True: org.rows.columns["name"]}
    short = set(view.hits(dirt.short_company))
    employers = [org.at[i] for i in view.at]
    values = [None if e is None else names[i in short][e] for i, e in enumerate(employers)]
    return view.changed(values, dirt.no_company, lambda _text, _i: None)
