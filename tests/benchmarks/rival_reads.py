"""One stream read by Airbyte's declarative CDK or by a singer-sdk tap; run by ``bench_rivals`` with their interpreter.

    python rival_reads.py airbyte|singer BASE_URL PAGE_SIZE

Prints the messages each would hand to a destination into a null device, and at the end records and seconds as JSON.
Nothing of ours is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

PATH = "/crm/v3/objects/contacts"


def airbyte(base_url: str, page_size: int) -> int:
    """Read with a declarative manifest; serialise each message as the platform's protocol wants it."""
    from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, Type
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
    from orjson import dumps

    retriever = {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": base_url,
            "path": PATH,
            "http_method": "GET",
            "request_parameters": {"limit": str(page_size)},
            "authenticator": {"type": "BearerAuthenticator", "api_token": "made-up"},
        },
        "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["results"]}},
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "after"},
            "pagination_strategy": {
                "type": "CursorPagination",
                "cursor_value": "{{ response.get('paging', {}).get('next', {}).get('after') }}",
                "stop_condition": "{{ not response.get('paging', {}).get('next', {}).get('after') }}",
            },
        },
    }  # fmt: skip
    schema = {"type": "object", "additionalProperties": True, "properties": _PROPERTIES}
    manifest = {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["contacts"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "contacts",
                "primary_key": ["id"],
                "schema_loader": {"type": "InlineSchemaLoader", "schema": schema},
                "retriever": retriever,
            }
        ],
    }
    stream = {"name": "contacts", "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
    catalog = ConfiguredAirbyteCatalogSerializer.load(
        {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
    )
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    import logging

    found = 0
    with Path(os.devnull).open("wb") as sink:
        for message in source.read(logging.getLogger("bench"), {}, catalog, []):
            sink.write(dumps(AirbyteMessageSerializer.dump(message)))
            found += message.type == Type.RECORD
    return found


def singer(base_url: str, page_size: int) -> int:
    """Read with a tap of singer-sdk; its messages go to a null device as lines."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk.authenticators import BearerTokenAuthenticator

    counted = [0]

    class Contacts(RESTStream):
        name, path, primary_keys = "contacts", PATH, ("id",)
        url_base = base_url
        records_jsonpath = "$.results[*]"
        next_page_token_jsonpath = "$.paging.next.after"
        schema = {"type": "object", "properties": _PROPERTIES}  # noqa: RUF012

        @property
        def authenticator(self) -> Any:
            return BearerTokenAuthenticator(token="made-up")

        def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, Any]:
            del context
            return {"limit": page_size} | ({"after": next_page_token} if next_page_token else {})

        def post_process(self, row: dict[str, Any], context: Any = None) -> dict[str, Any]:
            del context
            counted[0] += 1
            return row

    class BenchTap(Tap):
        name = "tap-bench"
        config_jsonschema = {"type": "object", "properties": {}}  # noqa: RUF012

        def discover_streams(self) -> list[Any]:
            return [Contacts(self)]

    tap = BenchTap(config={}, parse_env_config=False)
    with Path(os.devnull).open("w", encoding="utf-8") as sink, contextlib.redirect_stdout(sink):
        tap.sync_all()
    return counted[0]


_TEXT = {"type": ["string", "null"]}
_NAMES = (
    "createdate", "email", "firstname", "lastname", "hs_object_id", "lastmodifieddate", "phone", "company", "city",
    "country", "zip", "jobtitle", "lifecyclestage", "website", "hs_email_optout",
)  # fmt: skip
_PROPERTIES = {
    "id": {"type": "string"},
    "properties": {"type": "object", "properties": dict.fromkeys(_NAMES, _TEXT)},
    "createdAt": _TEXT,
    "updatedAt": _TEXT,
    "archived": {"type": ["boolean", "null"]},
}


def main() -> None:
    name, base_url, page_size = sys.argv[1:4]
    began = time.perf_counter()
    found = {"airbyte": airbyte, "singer": singer}[name](base_url, int(page_size))
    sys.stdout.write(json.dumps({"records": found, "seconds": time.perf_counter() - began}) + "\n")


if __name__ == "__main__":
    main()
