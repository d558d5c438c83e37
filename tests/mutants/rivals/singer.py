"""Singer: the connector as a singer-sdk tap, judged by ``singer_sdk.testing``'s standard tap tests.

``python -m tests.mutants.rivals.singer BASE_URL [MUTANT]`` prints one JSON object: test → passed | failed | skipped.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from tests.mutants.rivals.declared import FIELDS, Stream, connector

_PYTEST = """
from singer_sdk.testing import get_tap_test_class, SuiteConfig
from tests.mutants.rivals.singer import make_tap
TestAcme = get_tap_test_class(make_tap(), config={"access_token": "acme-demo-token"}, suite_config=SuiteConfig(max_records_limit=None))
"""


def make_tap() -> Any:
    """Return the tap class; which mutant and which vendor is in the environment."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk import typing as th
    from singer_sdk.authenticators import APIKeyAuthenticator

    made = connector(os.environ.get("MUTANT") or None)
    base_url = os.environ["VENDOR"]

    class AcmeStream(RESTStream):  # type: ignore[type-arg]
        said: ClassVar[Stream] = {}
        url_base = base_url

        @property
        def authenticator(self) -> Any:
            return APIKeyAuthenticator(
                key=made["header"], value=f"Bearer {self.config['access_token']}", location="header"
            )

        @property
        def http_headers(self) -> dict[str, str]:
            return {"Acme-Version": "2026-01"}

        def get_new_paginator(self) -> Any:
            return _paginator(self.said.get("pages"))

        def get_url_params(self, context: Any, token: Any) -> dict[str, Any]:
            return _params(self, context, token)

        def parse_response(self, response: Any) -> Iterable[dict[str, Any]]:
            found = response.json()
            for step in self.said["records"]:
                found = (found or {}).get(step)
            yield from found or ()

        def get_child_context(self, record: dict[str, Any], context: Any) -> dict[str, Any]:
            del context
            parents = [one["parent"] for one in made["streams"].values() if "parent" in one]
            return next(({"ticket_id": record.get(field)} for name, field in parents if name == self.name), {})

    classes: dict[str, Any] = {}
    for name, said in made["streams"].items():
        fields = {"name": name, "path": said["path"], "said": said, "primary_keys": said["key"]}
        listed = {field: kind for kind, names in FIELDS[name].items() for field in names.split()} | said["types"]
        fields["schema"] = th.PropertiesList(
            *(th.Property(field, th.CustomType({"type": ["null", kind]})) for field, kind in listed.items())
        ).to_dict()
        if "cursor" in said:
            fields["replication_key"] = said["cursor"]["field"]
        if "parent" in said:
            fields["parent_stream_type"] = classes[said["parent"][0]]
        classes[name] = type(f"{name.title()}Stream", (AcmeStream,), fields)

    class TapAcme(Tap):
        name = "tap-acme"
        config_jsonschema = th.PropertiesList(
            th.Property("access_token", th.StringType, required=made["required"], secret=made["secret"])
        ).to_dict()

        def discover_streams(self) -> list[Any]:
            return [one(self) for one in classes.values()]

    return TapAcme


def _paginator(pages: dict[str, Any] | None) -> Any:
    from singer_sdk import pagination

    if pages is None:
        return pagination.SinglePagePaginator()
    if pages["kind"] == "link":
        return pagination.HeaderLinkPaginator()
    size = pages["size"][1]

    class Numbered(pagination.BasePageNumberPaginator):
        def has_more(self, response: Any) -> bool:
            return any(isinstance(one, list) and len(one) >= size for one in response.json().values())

    class Counted(pagination.BaseOffsetPaginator):
        def has_more(self, response: Any) -> bool:
            return any(isinstance(one, list) and len(one) >= size for one in response.json().values())

    class Marked(pagination.BaseAPIPaginator):  # type: ignore[type-arg]
        def __init__(self) -> None:
            super().__init__(None)

        def get_next(self, response: Any) -> Any:
            body = response.json()
            if "more" in pages and not _at(body, pages["more"]):
                return None
            return _at(body, pages["next"])

    if pages["kind"] == "number":
        return Numbered(start_value=pages["first"])
    return Counted(start_value=0, page_size=size) if pages["kind"] == "offset" else Marked()


def _at(body: Any, path: list[str]) -> Any:
    for step in path:
        body = body.get(step) if isinstance(body, dict) else None
    return body


def _params(stream: Any, context: Any, token: Any) -> dict[str, Any]:
    from urllib.parse import parse_qsl, urlparse

    said = stream.said
    pages = said.get("pages")
    params = dict(said["params"])
    if pages:
        params[pages["size"][0]] = pages["size"][1]
    if "cursor" in said:
        since = stream.get_starting_replication_key_value(context)
        if since:
            params[said["cursor"]["param"]] = since
    if token is not None and pages:
        if "://" in str(getattr(token, "geturl", lambda: token)()):
            text = token.geturl() if hasattr(token, "geturl") else str(token)
            return dict(parse_qsl(urlparse(text).query))
        if hasattr(token, "query"):
            return dict(parse_qsl(token.query))
        params[pages["param"]] = token
    elif pages and pages["kind"] == "number":
        params[pages["param"]] = pages["first"]
    return params


def main(base_url: str, mutant: str | None) -> None:
    """Run the standard tests with pytest, as the tap template does."""
    import pytest

    os.environ["VENDOR"], os.environ["MUTANT"] = base_url, mutant or ""
    file = Path(tempfile.mkdtemp()) / "test_acme.py"
    file.write_text(_PYTEST)
    results: dict[str, str] = {}

    class Listener:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                results[report.nodeid.split("::", 1)[-1]] = report.outcome

    code = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", str(file)], plugins=[Listener()])
    if not results:
        results["collection"] = "failed" if code else "passed"
    sys.stdout.write("\n" + json.dumps(results) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
