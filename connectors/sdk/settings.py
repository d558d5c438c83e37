"""One connection's configuration, checked against its manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema

from connectors.sdk import instants, templates
from connectors.sdk.errors import FixConfig
from connectors.sdk.protocols import ConnectionSettings
from connectors.sdk.yaml_lines import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sdk.specs import Manifest


def connect(
    manifest: Manifest,
    *,
    name: str,
    connection_id: str,
    config: Mapping[str, Any],
    base_url: str | None = None,
    timezone: str | None = None,
    streams: tuple[str, ...] = (),
    where: str | None = None,
) -> ConnectionSettings:
    """Check one connection's configuration against its manifest and return its settings.

    Raise FixConfig naming the key; values never appear in the message, since any may be a secret.
    """
    place = where or f"connection '{name}'"
    validator: Any = jsonschema.Draft202012Validator(manifest.config_schema)
    fault = next(iter(sorted(validator.iter_errors(dict(config)), key=lambda one: list(map(str, one.path)))), None)
    if fault is not None:
        what, do = _config_fault(fault, manifest)
        raise FixConfig(what, where=place, do=do)
    wanted = streams or manifest.default_streams()
    for stream in wanted:
        manifest.stream(stream)
    try:
        instants.zone(timezone)
    except (KeyError, ValueError, OSError) as why:
        raise FixConfig(f"timezone '{timezone}' is unknown", where=place, do="use an IANA name: Europe/Berlin") from why
    base = _base(base_url or manifest.base_url, config, place)
    return ConnectionSettings(name, connection_id, manifest, base, dict(config), timezone, tuple(wanted))


def _base(address: str, config: Mapping[str, Any], place: str) -> str:
    try:
        return templates.render_text(address, {"config": config}).rstrip("/")
    except templates.Undefined as word:
        key = str(word).strip("{}").removeprefix("config.")
        raise FixConfig(
            f"the config lacks {key}, which the address {address} needs",
            where=place,
            do=f"give {key}, or the connection its own base_url:",
        ) from None


def _config_fault(fault: Any, manifest: Manifest) -> tuple[str, str]:
    known = list(manifest.config_schema.get("properties", {}))
    if fault.validator == "additionalProperties":
        extra = next((key for key in fault.instance if key not in known), "?")
        return f"{manifest.name} has no config key '{extra}'", suggest(extra, known)
    if fault.validator in ("anyOf", "oneOf"):
        ways = [" + ".join(branch.get("required", [])) for branch in fault.validator_value]
        return f"the config of {manifest.name} is incomplete", "give " + ", or ".join(way for way in ways if way)
    if fault.validator == "required":
        missing = [key for key in fault.validator_value if key not in fault.instance]
        return f"the config of {manifest.name} lacks {', '.join(missing)}", f"see {manifest.docs}"
    key = ".".join(map(str, fault.absolute_path)) or "config"
    allowed = fault.schema.get("description") or json.dumps({fault.validator: fault.validator_value})
    return f"the value of '{key}' does not fit", f"allowed: {allowed}"
