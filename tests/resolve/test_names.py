"""Names as vendors write them: what is given and what family, what is no name, and which address is made of whose name."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.resolve import deterministic, load_policy
from pipelines.resolve.duck import connect
from pipelines.resolve.features import build_norm, numbered
from pipelines.resolve.finish import finish_norm
from tests.resolve.people import table, together


def _norm(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of ``norm``, in the order of the records; the last one is there so that every column is."""
    everything = {"full_name": "x y z", "given_name": "x", "family_name": "z", "emails": "x@z.example"}
    con = connect()
    try:
        con.register("match", numbered(table(*rows, everything)))
        features = build_norm(con, "person", load_policy())
        deterministic.build_values(con, features, load_policy())
        finish_norm(con, features, load_policy())
        return con.execute("SELECT * FROM norm ORDER BY rid").to_arrow_table().to_pylist()[: len(rows)]
    finally:
        con.close()


@pytest.mark.parametrize(
    ("said", "given", "family", "middle"),
    [
        ({"full_name": "Elena De Luca"}, "elena", "de luca", None),
        ({"full_name": "Jan van der Berg"}, "jan", "van der berg", None),
        ({"full_name": "Anna Maria van den Heuvel"}, "anna", "van den heuvel", "maria"),
        ({"full_name": "John Paul Jones"}, "john", "jones", "paul"),
        ({"full_name": "Al Pacino"}, "al", "pacino", None),
        ({"full_name": "De Jong"}, None, "de jong", None),
        ({"full_name": "van der Berg"}, None, "van der berg", None),
        ({"full_name": "De Jong", "family_name": "De Jong"}, None, "de jong", None),
        ({"full_name": "Mary Ann", "given_name": "Mary Ann"}, "mary ann", None, None),
        ({"full_name": "Hill"}, "hill", None, None),
        ({"full_name": "Hill", "family_name": "Hill"}, None, "hill", None),
        ({"full_name": "Dr. Ada King Jr."}, "ada", "king", None),
        ({"full_name": "ada.king@mail.example"}, None, None, None),
        ({"given_name": "ada@mail.example", "family_name": "King"}, None, "king", None),
        ({"given_name": "Łukasz", "family_name": "Sørensen-Großmann"}, "lukasz", "sorensen grossmann", None),
        ({"given_name": "Đorđe", "family_name": "Bœuf"}, "dorde", "boeuf", None),
        ({"given_name": "Ægir", "family_name": "Y\u0131lmaz"}, "aegir", "yilmaz", None),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_full_name_is_taken_apart_where_its_family_name_begins(
    said: dict[str, str], given: str | None, family: str | None, middle: str | None
) -> None:
    (row,) = _norm(said)

    assert (row["given"], row["family"], row["middle"]) == (given, family, middle)


def test_street_and_town_are_the_same_however_the_keyboard_writes_them() -> None:
    one, other = _norm({"street": "Hauptstraße 5", "city": "Tromsø"}, {"street": "Hauptstrasse 5", "city": "Tromso"})

    assert (one["street"], one["city"]) == (other["street"], other["city"]) == ("hauptstrasse 5", "tromso")


@pytest.mark.parametrize(
    ("given", "family", "address", "own"),
    [
        ("Jürgen", "Winkler", "juergen.winkler@mail.example", True),
        ("Juergen", "Winkler", "jurgen85@mail.example", True),
        ("Jana", "Vogel", "jvogel@mail.example", True),
        ("Jana", "Vogel", "j.vogel85@mail.example", True),
        ("Elena", "De Luca", "edeluca@mail.example", True),
        ("J.", "Vogel", "jvogel@mail.example", True),
        ("Jana", "Vogel", "vogel@mail.example", False),
        ("Jana", "Vogel", "kvogel@mail.example", False),
        ("Jana", "Vogel", "jens.vogel@mail.example", False),
        ("Bo", "Li", "bli@mail.example", False),
        (None, "Vogel", "jvogel@mail.example", False),
    ],
)
def test_an_address_is_one_s_own_by_the_given_name_or_its_initial_and_the_family_name(
    given: str | None, family: str, address: str, own: bool
) -> None:
    (row,) = _norm({"given_name": given, "family_name": family, "emails": address})

    assert row["emails_named"] == ([address] if own else [])
    assert (row["emails_named_one"] is True) == own


def test_a_mistyped_name_beside_one_s_own_mailbox_is_no_sibling_and_a_family_s_mailbox_makes_nobody_one() -> None:
    own = [
        {"given_name": name, "family_name": "Winkler", "emails": "juergen.winkler@mail.example", "phones": "+4915188619076"}
        for name in ("Jprgen", "Jürgen")
    ]  # fmt: skip
    family = [{**each, "emails": "winkler.home@mail.example"} for each in own]

    assert together(*own)
    assert not together(*family)
