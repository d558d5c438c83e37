"""The base connector as plain data, and each equivalent mutant as changes of it: one description, two kits.

A stream says how it is asked for, paged and keyed; ``airbyte`` and ``singer`` each make their own connector of it.
"""

from __future__ import annotations

import copy
from typing import Any, Final

# Every member of a record by kind: singer's suite fails a stream whose records hold more than its schema.
FIELDS: Final[dict[str, dict[str, str]]] = {
    "users": {
        "integer": "id created modified stats_orders company_id",
        "object": "name job home marketing",
        "string": "birthday gender locale timezone homepage state role tags manager_email avatar_url",
        "boolean": "bounced",
        "array": "emails phones custom",
    },
    "companies": {
        "integer": "id headcount",
        "string": "name legal_name homepage industry about_html created_at updated_at",
        "array": "domains",
        "object": "revenue",
    },
    "orders": {
        "string": "order_no guest_email currency note placed_at cancelled_at changed_at",
        "integer": "user_id",
        "object": "totals",
        "boolean": "paid test",
        "array": "lines refunds",
    },
    "tickets": {
        "integer": "id company_id",
        "string": "subject body_html status channel priority agent_id created_at updated_at",
        "object": "requester",
        "array": "labels",
    },
    "ticket_comments": {
        "integer": "ticket_id number author_id",
        "boolean": "by_staff",
        "string": "visibility html written",
    },
}
Stream = dict[str, Any]
Connector = dict[str, Any]

BASE: Final[Connector] = {
    "header": "Authorization",
    "secret": True,
    "required": True,
    "streams": {
        "users": {
            "path": "/v2/users", "records": ["data", "items"], "key": ["id"], "params": {"include": "emails,phones,custom"},
            "pages": {"kind": "cursor", "next": ["data", "next"], "more": ["data", "more"], "param": "cursor", "size": ["limit", 100]},
            "cursor": {"field": "modified", "param": "modified_after"}, "types": {"id": "integer", "modified": "integer"},
        },
        "companies": {
            "path": "/v2/companies", "records": ["companies"], "key": ["id"], "params": {},
            "pages": {"kind": "number", "param": "page", "first": 1, "size": ["per_page", 100]}, "types": {"id": "integer"},
        },
        "orders": {
            "path": "/v2/orders", "records": ["orders"], "key": ["order_no"], "params": {},
            "pages": {"kind": "offset", "param": "offset", "size": ["limit", 50]}, "types": {"order_no": "string"},
        },
        "tickets": {
            "path": "/v2/tickets", "records": [], "key": ["id"], "params": {},
            "pages": {"kind": "link", "size": ["limit", 100]}, "types": {"id": "integer"},
        },
        "ticket_comments": {
            "path": "/v2/tickets/{ticket_id}/comments", "records": ["comments"], "key": ["ticket_id", "number"], "params": {},
            "pages": {"kind": "url", "next": ["links", "next"], "size": ["limit", 2]}, "parent": ["tickets", "id"],
            "types": {"ticket_id": "integer", "number": "integer"},
        },
    },
}  # fmt: skip

# Mutant → (path into BASE, new value) …; None takes the entry away.
EQUIVALENTS: Final[dict[str, list[tuple[list[str], Any]]]] = {
    "next-cursor-path-wrong": [(["users", "pages", "next"], ["data", "next_cursor"]), (["users", "pages", "more"], None)],
    "paging-not-declared": [(["users", "pages"], None)],
    "client-paginator-lost": [(["companies", "pages"], None)],
    "page-size-above-maximum": [(["companies", "pages", "size"], ["per_page", 1000])],
    "page-of-pages-taken-for-total": [(["users", "pages", "more"], ["data", "complete"])],
    "first-page-skipped": [(["companies", "pages", "first"], 2)],
    "parameters-with-cursor": [(["users", "params", "with_deleted"], "true")],
    "child-link-wrong": [(["ticket_comments", "pages", "next"], ["links", "following"])],
    "children-below-the-wrong-id": [(["ticket_comments", "parent"], ["tickets", "company_id"])],
    "strict-bound-declared-inclusive": [(["users", "cursor", "step"], 1000)],
    "created-only-cursor": [(["users", "cursor", "field"], "created"), (["users", "types", "created"], "integer")],
    "bookmark-not-sent": [(["users", "cursor", "param"], "since_time")],
    "cursor-path-wrong": [(["users", "cursor", "field"], "changed_on")],
    "key-without-its-parent": [(["ticket_comments", "key"], ["number"])],
    "secret-not-marked": [(["secret"], False)],
    "key-in-another-header": [(["header"], "X-Auth")],
    "half-the-credentials": [(["required"], False)],
}  # fmt: skip

# Why the others have no counterpart: what is wrong in them cannot be said in the rival's connector, or loops for ever.
NOT_EXPRESSED: Final = {
    "offset-never-moves": "both readers ask for the same page without end; neither suite has a limit on requests",
    "page-number-not-sent": "both readers ask for the same page without end; neither suite has a limit on requests",
    "first-page-parameters-repeated": "as parameters-with-cursor, at another vendor",
    "one-second-added": "as strict-bound-declared-inclusive, at another vendor",
    "applied-at-is-the-cursor": "as created-only-cursor, at another vendor",
    "other-stamp-of-contacts": "as created-only-cursor, at another vendor",
    "cap-not-declared": "there is no word for a vendor's cap of results",
    "cap-declared-too-high": "there is no word for a vendor's cap of results",
    "ten-thousand-and-no-more": "there is no word for a vendor's cap of results",
    "positions-while-records-move": "neither suite lets a record change while it reads",
    "search-without-associations": "neither fetches a hit of a search again without Python of one's own",
    "listing-shows-less": "neither fetches a hit of a search again without Python of one's own",
    "property-not-asked-for": "there is no mapping that would miss the field",
    "limits-the-wrong-way-round": "singer-sdk has no limits; Airbyte's budget is not looked at by its suite",
    "null-list-called-empty": "both always take a null list for an empty one",
    "field-mapped-from-nowhere": "there is no mapping to canonical fields",
}


def connector(mutant: str | None) -> Connector:
    """Return the base connector, or an equivalent mutant of it."""
    made = copy.deepcopy(BASE)
    for path, value in EQUIVALENTS[mutant] if mutant else ():
        here = made if path[0] in made else made["streams"]
        *way, last = path
        for step in way:
            here = here[step]
        if value is None:
            del here[last]
        else:
            here[last] = value
    return made
