"""What people and forms do to names, numbers and addresses: one small function a defect."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNFOLDED = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "æ": "ae"})
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_SHORTEST = 4
_KEYS = "qwertyuiopasdfghjklzxcvbnm"
_NO_TRUNK = {"ES", "IT", "PL", "US"}
PLACEHOLDER_PHONES = ("0000000000", "1234567890", "+49 000 0000000", "9999999999")


@dataclass(frozen=True)
class Dirt:
    """Probability of each defect in one system's records; a simulator.yaml overrides single ones."""

    typo: float = 0.04
    nickname: float = 0.08
    swapped: float = 0.01
    maiden: float = 0.35
    initial: float = 0.02
    shouting: float = 0.02
    lower: float = 0.04
    folded: float = 0.25
    no_given: float = 0.02
    no_family: float = 0.02
    work_email: float = 0.3
    old_email: float = 0.12
    family_email: float = 0.3
    role_email: float = 0.012
    email_typo: float = 0.012
    email_case: float = 0.05
    no_email: float = 0.05
    second_email: float = 0.08
    no_phone: float = 0.3
    landline: float = 0.25
    placeholder_phone: float = 0.012
    free_phone: float = 1.0
    no_address: float = 0.35
    old_address: float = 0.06
    no_birth_date: float = 0.7
    no_company: float = 0.3
    short_company: float = 0.4
    no_job_title: float = 0.4

    @classmethod
    def of(cls, given: dict[str, Any]) -> Dirt:
        """Return the defaults with ``given`` over them; an unknown defect is an error naming the known."""
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            message = f"unknown dirt {', '.join(unknown)}; known: {', '.join(known)}"
            raise ValueError(message)
        return cls(**given)


@lru_cache(maxsize=20_000)
def fold(text: str, country: str = "") -> str:
    """Return ``text`` in plain ASCII letters as a person of ``country`` would type it."""
    if text.isascii():
        return text
    prepared = (text.translate(_GERMAN) if country == "DE" else text).translate(_UNFOLDED)
    return "".join(c for c in unicodedata.normalize("NFKD", prepared) if not unicodedata.combining(c))


@lru_cache(maxsize=20_000)
def handle(text: str, country: str = "") -> str:
    """Return ``text`` as the part of an e-mail address or domain: lower-case letters and digits only."""
    return "".join(c for c in fold(text, country).lower() if c.isalnum() and c.isascii())


def typo(text: str, draw: int) -> str:
    """Return ``text`` with one slip (dropped, doubled, swapped or wrong letter) chosen by ``draw``."""
    if len(text) < _SHORTEST:
        return text
    at = 1 + (draw >> 4) % (len(text) - 2)
    key = _KEYS[(draw >> 8) % len(_KEYS)]
    slips = (
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        text[:at] + key + text[at + 1 :],
    )
    return slips[draw % len(slips)]


def email_typo(email: str, draw: int) -> str:
    """Return ``email`` with a slip in its domain, as in ``name@mialbox.example``."""
    local, _, domain = email.partition("@")
    host, _, suffix = domain.partition(".")
    return f"{local}@{typo(host, draw)}.{suffix}"


def e164(national: str, country: str, calling_code: str) -> str:
    """Return the number in its international normal form."""
    trunk = country not in _NO_TRUNK and national.startswith("0")
    return f"+{calling_code}{national[1:] if trunk else national}"


def written_phone(national: str, country: str, calling_code: str, style: int) -> str:
    """Return the number as people write it; ``style`` 0 is the international normal form."""
    normal = e164(national, country, calling_code)
    if style == 0:
        return normal
    rest = normal[len(calling_code) + 1 :]
    trunk = "" if country in _NO_TRUNK else "(0) "
    styles = (
        f"+{calling_code} {rest[:3]} {rest[3:]}",
        f"{national[:4]} {national[4:]}",
        f"00{calling_code}{rest}",
        f"+{calling_code} {trunk}{rest[:3]} {rest[3:]}",
        f"{national[:4]}-{national[4:]}",
    )
    return styles[(style - 1) % len(styles)]


def initials(names: Sequence[str]) -> str:
    """Return the first letters with full stops: ``J.``."""
    return " ".join(f"{name[0]}." for name in names if name)
