"""Airbyte: the connector as a declarative manifest, judged by airbyte-cdk's own standard tests (FAST).

``python -m tests.mutants.rivals.airbyte BASE_URL [MUTANT]`` prints one JSON object: test → passed | failed | skipped.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.mutants.rivals.declared import Connector, Stream, connector

_START = "2001-01-01T00:00:00Z"


def manifest(made: Connector, base_url: str) -> dict[str, Any]:
    """Return the connector as an Airbyte declarative manifest."""
    streams = {name: _stream(name, one, made, base_url) for name, one in made["streams"].items()}
    for name, one in made["streams"].items():
        if "parent" in one:
            streams[name]["retriever"]["partition_router"] = {
                "type": "SubstreamPartitionRouter",
                "parent_stream_configs": [{
                    "type": "ParentStreamConfig", "stream": streams[one["parent"][0]], "parent_key": one["parent"][1],
                    "partition_field": "ticket_id",
                }],
            }  # fmt: skip
    token = {"type": "string", "title": "Access token", "airbyte_secret": made["secret"]}
    required = ["access_token"] if made["required"] else []
    return {
        "version": "6.0.0", "type": "DeclarativeSource", "check": {"type": "CheckStream", "stream_names": ["users"]},
        "streams": list(streams.values()),
        "spec": {"type": "Spec", "connection_specification": {
            "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": required,
            "additionalProperties": True, "properties": {"access_token": token},
        }},
    }  # fmt: skip


def _stream(name: str, one: Stream, made: Connector, base_url: str) -> dict[str, Any]:
    path = one["path"].replace("{ticket_id}", "{{ stream_partition.ticket_id }}")
    found: dict[str, Any] = {
        "type": "DeclarativeStream", "name": name, "primary_key": one["key"],
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester", "url_base": base_url, "path": path, "http_method": "GET",
                "request_headers": {"Acme-Version": "2026-01"}, "request_parameters": one["params"],
                "authenticator": {
                    "type": "ApiKeyAuthenticator", "api_token": "Bearer {{ config['access_token'] }}",
                    "inject_into": {"type": "RequestOption", "inject_into": "header", "field_name": made["header"]},
                },
            },
            "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": one["records"]}},
            "paginator": _paginator(one.get("pages")),
        },
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {
            "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": True,
            "properties": {field: {"type": ["null", kind]} for field, kind in one["types"].items()},
        }},
    }  # fmt: skip
    if "cursor" in one:
        found["incremental_sync"] = {
            "type": "DatetimeBasedCursor", "cursor_field": one["cursor"]["field"], "datetime_format": "%ms",
            "cursor_datetime_formats": ["%ms", "%s"], "start_datetime": {"type": "MinMaxDatetime", "datetime": _START, "datetime_format": "%Y-%m-%dT%H:%M:%SZ"},
            "start_time_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": one["cursor"]["param"]},
        }  # fmt: skip
    return found


def _paginator(pages: dict[str, Any] | None) -> dict[str, Any]:
    if pages is None:
        return {"type": "NoPagination"}
    name, size = pages["size"]
    kinds = {"cursor": _cursor, "url": _cursor, "link": _cursor, "number": _number, "offset": _offset}
    strategy = kinds[pages["kind"]](pages, size)
    token: dict[str, Any] = {"type": "RequestPath"}
    if "param" in pages:
        token = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": pages["param"]}
    size_option = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": name}
    return {
        "type": "DefaultPaginator",
        "page_token_option": token,
        "page_size_option": size_option,
        "pagination_strategy": strategy,
    }


def _cursor(pages: dict[str, Any], size: int) -> dict[str, Any]:
    value = "headers['link']['next']['url']" if pages["kind"] == "link" else "response." + ".".join(pages["next"])
    stop = f"not response.{'.'.join(pages['more'])}" if "more" in pages else f"not {value}"
    if pages["kind"] == "link":
        stop = "'next' not in headers.get('link', {})"
    return {
        "type": "CursorPagination",
        "cursor_value": "{{ " + value + " }}",
        "stop_condition": "{{ " + stop + " }}",
        "page_size": size,
    }


def _number(pages: dict[str, Any], size: int) -> dict[str, Any]:
    return {
        "type": "PageIncrement",
        "page_size": size,
        "start_from_page": pages["first"],
        "inject_on_first_request": True,
    }


def _offset(_pages: dict[str, Any], size: int) -> dict[str, Any]:
    return {"type": "OffsetIncrement", "page_size": size}


def main(base_url: str, mutant: str | None) -> None:
    """Run every standard test that needs no container."""
    import pytest
    from airbyte_cdk.test.models import ConnectorTestScenario
    from airbyte_cdk.test.standard_tests import DeclarativeSourceTestSuite

    root = Path(tempfile.mkdtemp()) / "source-acme"
    root.mkdir()
    (root / "manifest.yaml").write_text(yaml.safe_dump(manifest(connector(mutant), base_url)))
    (root / "config.json").write_text(json.dumps({"access_token": "acme-demo-token"}))

    class Suite(DeclarativeSourceTestSuite):
        @classmethod
        def get_connector_root_dir(cls) -> Path:
            return root

    scenario = ConnectorTestScenario(config_path=root / "config.json")
    suite, results = Suite(), {}
    for name in (
        "test_spec",
        "test_config_matches_spec",
        "test_check",
        "test_discover",
        "test_basic_read",
        "test_fail_read_with_bad_catalog",
    ):
        try:
            getattr(suite, name)(**({} if name == "test_spec" else {"scenario": scenario}))
            results[name] = "passed"
        except pytest.skip.Exception:
            results[name] = "skipped"
        except BaseException as why:  # noqa: BLE001  a failed test, whatever it raises
            results[name] = (
                f"failed: {str(why).strip().splitlines()[0][:160] if str(why).strip() else type(why).__name__}"
            )
    sys.stdout.write("\n" + json.dumps(results) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
