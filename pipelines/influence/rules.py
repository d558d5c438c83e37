"""The rules of the influence map as tables of facts: kinds of relation, which end they belong to, what is single.

Strength of a relation, between 0 and 1, rounded to four places::

    strength = 0.5 · said + 0.3 · recency + 0.2 · together
    said       what a source itself states (the newest statement), else 1 - 0.5^(systems that say it)
    recency    0.5^(days between the subject's newest evidence and this relation's / 365); 0.5 where no time is known
    together   n / (n + 5), n = facts that name both parties (a fact that names more than 20 is a crowd, not a meeting)

Recency looks at the subject's own evidence, never at our clock, so that nothing decays because time passes here, and a
relation changes only when something about its subject does. What has ended is as recent as its end.
"""

from __future__ import annotations

from dataclasses import dataclass

SAID, RECENCY, TOGETHER = 0.5, 0.3, 0.2
HALF_LIFE_DAYS = 365
UNKNOWN_RECENCY = 0.5
MEETINGS_FOR_HALF = 5
CROWD = 20
HIERARCHIES = ("legal", "sales", "billing")
DEFAULT_HIERARCHY = "legal"
RULES_VERSION = 1  # raise it when the same statements would give other relations: all are then made anew

SUPERSEDED = "superseded"  # its open end was closed by a later one
CONTRADICTED = "contradicted"  # a part of its stated time was given to another
OVERRULED = "overruled"  # all of its time was given to another: it does not count
CYCLE = "cycle"  # the link would have closed a circle

SUBJECT_IS_TO = ("account_ownership", "account_team", "buying_group", "stand_in")


@dataclass(frozen=True)
class Kind:
    """One kind of golden relation.

    ``by_role``: relations of one kind with different roles stand side by side. ``single``: the subject can have only one
    at a time. ``reach``: how it lets people reach each other (``both`` ways, ``forward`` = from → to, or not at all).
    """

    name: str
    by_role: bool = False
    single: bool = False
    subject_is_to: bool = False
    reach: str | None = None


KINDS = (
    Kind("employment"),
    Kind("owner", single=True, subject_is_to=True, reach="both"),
    Kind("account_team", by_role=True, subject_is_to=True, reach="both"),
    Kind("reports_to", single=True, reach="both"),
    Kind("buying_group", by_role=True, subject_is_to=True),
    Kind("parent", single=True),
    Kind("household", by_role=True, reach="both"),
    Kind("membership", by_role=True),
    Kind("partner", by_role=True, reach="both"),
    Kind("influencer", by_role=True, reach="forward"),
    Kind("stand_in", by_role=True, subject_is_to=True),
    Kind("other", by_role=True),
)

# From what a source says (type, role, kinds of both ends) to a golden kind; the first line that fits.
LIFTED = (
    ("type = 'account_ownership' AND coalesce(lower(trim(role)), 'owner') = 'owner'", "owner"),
    ("type = 'account_ownership'", "account_team"),
    ("type = 'hierarchy' AND from_entity = 'organization' AND to_entity = 'organization'", "parent"),
    ("type = 'hierarchy' AND from_entity = 'person' AND to_entity = 'person'", "reports_to"),
    ("type = 'hierarchy'", "other"),
    ("type = 'influence'", "influencer"),
)


def kind_sql() -> str:
    """Return the SQL expression of the golden kind."""
    return "CASE " + " ".join(f"WHEN {test} THEN '{kind}'" for test, kind in LIFTED) + " ELSE type END"


def names(**having: object) -> str:
    """Return the names of the kinds with these properties as a SQL list."""
    found = [kind.name for kind in KINDS if all(getattr(kind, name) == value for name, value in having.items())]
    return ", ".join(f"'{name}'" for name in found)
