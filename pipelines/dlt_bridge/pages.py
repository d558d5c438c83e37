"""Notices where dlt's RESTClient goes on as if all were well: guessed paging that ends after one page, missing lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlt.common import jsonpath
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import SinglePagePaginator

if TYPE_CHECKING:
    from requests import Response

    from pipelines.dlt_bridge.source import Watch


def watch_client(client: RESTClient, watch: Watch, *, selector: str | None) -> None:
    """Let ``watch`` know when the client falls back to one page, or when the declared ``selector`` finds nothing."""
    detect, extract = client.detect_paginator, client.extract_response

    def detect_paginator(response: Response, data: Any) -> Any:
        found = detect(response, data)
        if isinstance(found, SinglePagePaginator) and data and data != [response.json()]:
            watch.doubts.add(
                f"{_shown(response)}: no paging was declared and none was recognised: there may be more pages → declare "
                "the resource's paginator: (single_page, if the vendor sends all at once)"
            )
        return found

    def extract_response(response: Response, data_selector: Any) -> Any:
        if selector and "*" not in selector and not _found(response.json(), selector):
            watch.doubts.add(f"{_shown(response)}: the answer holds no '{selector}' → check data_selector:")
        return extract(response, data_selector)

    client.detect_paginator = detect_paginator  # type: ignore[method-assign]
    client.extract_response = extract_response  # type: ignore[method-assign]


def _found(body: Any, selector: str) -> bool:
    return any(value is not None for value in jsonpath.find_values(selector, body))


def _shown(response: Response) -> str:
    return str(response.url).split("?", 1)[0]
