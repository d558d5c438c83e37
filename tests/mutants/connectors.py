"""Mutants of connectors: each a mistake that somebody's published connector had."""

from __future__ import annotations

from typing import Final

from tests.mutants.model import Mutant

_M: Final = "manifest.yaml"
_USERS_PAGES: Final = (
    "paginator: {type: cursor, cursor_path: data.next, cursor_param: cursor, has_more_path: data.more}"
)
_PAGES: Final = "paginator: {type: page_number, page_param: page, base_page: 1, total_pages_path: meta.pages}"
_ORDERS: Final = "paginator: {type: offset, offset_param: offset, limit_param: limit, total_path: total}"
_COMMENTS: Final = "paginator: {type: next_url, next_url_path: links.next, end_path: links.end}"

CONNECTOR_MUTANTS: Final = (
    Mutant(
        "next-cursor-path-wrong", "dlt-hub/dlt#2505", "the path of the next link is not where it is looked for: one page",
        "PAGE-EVERY-RECORD",
        edits=((_M, _USERS_PAGES, "paginator: {type: cursor, cursor_path: data.next_cursor, cursor_param: cursor}"),),
    ),
    Mutant(
        "paging-not-declared", "airbytehq/airbyte#54713", "the connector knows no pages at all and reads the first",
        "PAGE-EVERY-RECORD", edits=((_M, _USERS_PAGES, "paginator: {type: single_page}"),),
    ),
    Mutant(
        "client-paginator-lost", "dlt-hub/dlt#2586", "one resource does not inherit the paging of the others",
        "PAGE-EVERY-RECORD", edits=((_M, _PAGES, "paginator: {type: single_page}"),),
    ),
    Mutant(
        "page-size-above-maximum", "snowflakedb/SnowAlert#359", "more is asked for than the vendor gives in one page",
        "PAGE-REAL-SIZE", "hubspot", edits=((_M, "page_size: 100, record_time", "page_size: 1000, record_time"),),
    ),
    Mutant(
        "offset-never-moves", "NangoHQ/nango-sync#20", "a misspelt position parameter: the first page over and over",
        "PAGE-EVERY-RECORD", edits=((_M, _ORDERS, _ORDERS.replace("offset_param: offset", "offset_param: skip")),),
    ),
    Mutant(
        "page-number-not-sent", "airbytehq/airbyte#53140", "the page number is not in the request of a real sync",
        "PAGE-EVERY-RECORD", edits=((_M, _PAGES, _PAGES.replace("page_param: page", "page_param: page_no")),),
    ),
    Mutant(
        "page-of-pages-taken-for-total", "airbytehq/airbyte#33431", "the end is judged by another counter: full refresh stops early",
        "PAGE-EVERY-RECORD", edits=((_M, _PAGES, _PAGES.replace("total_pages_path", "total_path")),),
    ),
    Mutant(
        "first-page-skipped", "dlt-hub/dlt#1921", "reading starts at a later page than the first",
        "PAGE-EVERY-RECORD", edits=((_M, _PAGES, _PAGES.replace("base_page: 1", "base_page: 2")),),
    ),
    Mutant(
        "first-page-parameters-repeated", "n8n-io/n8n#3963", "parameters of the first request are sent beside page_info: 400",
        "PAGE-EVERY-RECORD", "shopify",
        edits=((_M, "data_selector: orders\n    paginator: {type: header_link}", "data_selector: orders\n    paginator: {type: header_link, params_on_next: keep}"),),
    ),
    Mutant(
        "parameters-with-cursor", "cloudquery/cloudquery#9389", "params of the first page go out with the following ones",
        "PAGE-EVERY-RECORD",
        edits=(
            (_M, "custom]}      # a list is sent comma-joined", 'custom], with_deleted: "true"}'),
            (_M, '    first_page_params: {with_deleted: "true"}      # Acme puts it into the cursor itself and refuses both\n', ""),
        ),
    ),
    Mutant(
        "child-link-wrong", "airbytehq/airbyte#40734", "the children's next link is read from another member: one page a parent",
        "CHILD-EVERY-PARENT", edits=((_M, _COMMENTS, "paginator: {type: next_url, next_url_path: links.following}"),),
    ),
    Mutant(
        "children-below-the-wrong-id", "airbytehq/airbyte#54729", "a child is asked for with the wrong one of its parent's fields, and the refusal is ignored",
        "CHILD-EVERY-PARENT", edits=((_M, "bind: {ticket_id: id}", "bind: {ticket_id: company_id}"),),
    ),
    Mutant(
        "strict-bound-declared-inclusive", "estuary/connectors#5205", "`>` where `>=` was meant: records of the same second lost",
        "CURSOR-TIES",
        edits=((_M, "bound: exclusive              #", "bound: inclusive              #"), (_M, "lag: 5s", "lag: 0s")),
    ),
    Mutant(
        "one-second-added", "airbytehq/airbyte#24422", "the bound is taken for strict the other way round: a second is left out",
        "CURSOR-TIES", "klaviyo",
        edits=(
            (_M, "format: iso8601\n      resolution: 1s\n      bound: exclusive\n      sorted: asc\n\n  events", "format: iso8601\n      resolution: 1s\n      bound: inclusive\n      sorted: asc\n\n  events"),
        ),
    ),
    Mutant(
        "created-only-cursor", "airbytehq/airbyte#4505", "created instead of updated: an edit is never read",
        "CURSOR-ALL-CHANGES", "klaviyo",
        edits=(
            (_M, 'sort: updated\n      filter: "greater-than(updated,{cursor.start})"\n    data_selector: data\n    paginator: {type: next_url, next_url_path: links.next}\n    page_size: 100',
             'sort: created\n      filter: "greater-than(created,{cursor.start})"\n    data_selector: data\n    paginator: {type: next_url, next_url_path: links.next}\n    page_size: 100'),
            (_M, "cursor_path: attributes.updated\n", "cursor_path: attributes.created\n      immutable: true\n"),
        ),
    ),
    Mutant(
        "applied-at-is-the-cursor", "airbytehq/airbyte#61582", "the time of applying stands for the time of change",
        "CURSOR-ALL-CHANGES", "shopify",
        edits=((_M, "start_param: updated_at_min", "start_param: created_at_min"),),
    ),
    Mutant(
        "other-stamp-of-contacts", "amp-labs/connectors#45", "contacts are stamped lastmodifieddate; the other name finds nothing",
        "CURSOR-ALL-CHANGES", "hubspot",
        edits=((_M, '            - filters: [{propertyName: lastmodifieddate, operator: GTE, value: "{cursor.start}"}]\n', ""),),
    ),
    Mutant(
        "bookmark-not-sent", "airbytehq/airbyte#60858", "the stored bookmark is not used: every contact, every time",
        "CURSOR-ONLY-CHANGES", edits=((_M, 'since: "{cursor.start}"}', 'since_time: "{cursor.start}"}'),),
    ),
    Mutant(
        "cursor-path-wrong", "airbytehq/airbyte#44369", "the cursor is never updated",
        "CURSOR-READABLE", edits=((_M, "cursor_path: changed_at", "cursor_path: changed_on"),),
    ),
    Mutant(
        "cap-not-declared", "supaglue-labs/supaglue#585", "past 10,000 results the search answers 400 and the rest is not read",
        "CURSOR-CAP", edits=((_M, "      cap: 10000 ", "      #"),),
    ),
    Mutant(
        "cap-declared-too-high", "airbytehq/airbyte#10700", "the 10,001st result is asked for",
        "CURSOR-CAP", edits=((_M, "cap: 10000 ", "cap: 20000 "),),
    ),
    Mutant(
        "ten-thousand-and-no-more", "airbytehq/airbyte#26365", "an endpoint of recent changes that ends at 10,000",
        "CURSOR-CAP", "hubspot", edits=((_M, "      anchor: page ", "      #"), (_M, "cap: 10000", "cap: 100000")),
    ),
    Mutant(
        "positions-while-records-move", "airbytehq/airbyte#21500", "a list sorted by change, paged by offset: an edit moves the rest up",
        "CURSOR-MOVING-RECORD", "hubspot", edits=((_M, "      anchor: page ", "      #"),),
    ),
    Mutant(
        "key-without-its-parent", "airbytehq/airbyte#55173", "a key with a part missing: records overwrite each other",
        "KEY-UNIQUE", edits=((_M, "key: [ticket_id, number] ", "key: [number] "),),
    ),
    Mutant(
        "search-without-associations", "airbytehq/airbyte#14390", "incremental deals lose their contacts: search shows no associations",
        "RECORD-WHOLE", "hubspot",
        edits=((_M, "      hydrate:               # search answers never carry associations\n        path: /crm/v3/objects/deals/{record.id}\n        params: {properties: *deal_properties, associations: *deal_associations}\n", ""),
               (_M, "&deal_associations ", "")),
    ),
    Mutant(
        "listing-shows-less", "airbytehq/airbyte#43352", "the incremental listing gives less than the record",
        "RECORD-WHOLE",
        edits=((_M, '      hydrate: {path: "/v2/orders/{record.order_no}", params: {include: "lines,refunds"}, data_selector: order}\n', ""),),
    ),
    Mutant(
        "property-not-asked-for", "airbytehq/airbyte#13837", "properties are sent under the wrong name: those fields are null",
        "RECORD-WHOLE", "hubspot", edits=((_M, "properties: &contact_properties", "property: &contact_properties"),),
    ),
    Mutant(
        "limits-the-wrong-way-round", "airbytehq/airbyte#72432", "the test account's and the live account's limits are swapped",
        "LIMIT-KEPT", edits=((_M, "requests: 100, per_seconds: 10", "requests: 400, per_seconds: 10"),),
    ),
    Mutant(
        "secret-not-marked", "airbytehq/airbyte#83317", "the token is not marked secret and may be shown",
        "CON-SECRETS-MARKED",
        edits=((_M, "access_token: {type: string, secret: true,", "access_token: {type: string,"),),
    ),
    Mutant(
        "key-in-another-header", "airbytehq/airbyte#18537", "the vendor refuses, and the stream looks empty",
        "AUTH-EVERY-WAY", edits=((_M, "name: X-Acme-Key", "name: X-Acme-Api-Key"),),
    ),
    Mutant(
        "half-the-credentials", "airbytehq/airbyte#3182", "a field that is needed may be left out and fails later",
        "CONFIG-KEYS-NEEDED",
        edits=(
            (_M, "- {when: [username, password], type: basic", "- {when: [username], type: basic"),
            (_M, "- {required: [username, password]}", "- {required: [username]}"),
        ),
    ),
    Mutant(
        "null-list-called-empty", "airbytehq/airbyte#34484", "an answer without its records counts as the end",
        "PAGE-NULL-LIST",
        edits=((_M, "data_selector: data.items\n", "data_selector: data.items\n    null_list: empty\n"),
               (_M, _USERS_PAGES, "paginator: {type: cursor, cursor_path: data.next, cursor_param: cursor}")),
    ),
    Mutant(
        "field-mapped-from-nowhere", "airbytehq/airbyte#6147", "columns whose source field has another name are always null",
        "CON-FIELDS-ACCOUNTED", edits=(("mapping.yaml", "birth_date: {path: birthday,", "birth_date: {path: birth_day,"),),
    ),
)  # fmt: skip
