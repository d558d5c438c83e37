"""The conformance rules as data. A bug found in one connector becomes a rule for all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jsonschema

from connectors.sdk import paths
from connectors.sdk.docs import stale_tables
from connectors.sdk.mapping.coverage import Reader
from connectors.sdk.mapping.duckdb_paths import generalised
from connectors.sdk.mapping.hooks import impure, untyped
from connectors.sdk.testing.behaviour import access, children, cursors, fields, hazards, resume, truth
from connectors.sdk.testing.behaviour.fields import by_record
from connectors.sdk.testing.behaviour.ground import SHAPE
from connectors.sdk.testing.report import Rule
from connectors.sdk.testing.subject import Subject, declares, required_members
from connectors.sdk.yaml_lines import load_yaml

if TYPE_CHECKING:
    from connectors.sdk.testing.report import Word

MAX_HOOK_LINES: Final = 80
MAX_STREAM_LINES: Final = 60
README_SECTIONS: Final = ("key", "scopes", "limits", "known gaps")
_SECRET_NAME: Final = re.compile(r"(token|secret|password|passwd|api_?key|private_?key|credential)", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"(?<![A-Za-z0-9])(sk_(live|test)_[A-Za-z0-9]{16,}|shp(at|ca|pa|ss)_[A-Fa-f0-9]{32}|pat-(na|eu)\d-[0-9a-f-]{36}|pk_[0-9a-f]{34}"
    r"|tfp_[A-Za-z0-9_-]{40,}|xox[abpr]-[A-Za-z0-9-]{10,}|gh[pousr]_[A-Za-z0-9]{36}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|[Bb]earer [A-Za-z0-9._~+/-]{20,})"
)


def _manifest(subject: Subject) -> Iterator[str]:
    if subject.manifest_problem is not None:
        yield subject.manifest_problem


def _name(subject: Subject) -> Iterator[str]:
    data, _ = load_yaml(subject.folder / "manifest.yaml")
    name = data.get("name") if isinstance(data, dict) else None
    if name != subject.folder.name:
        yield f"manifest.yaml: name '{name}', folder '{subject.folder.name}'"


def _links(subject: Subject) -> Iterator[str]:
    manifest = subject.manifest
    if not manifest.docs.startswith("https://"):
        yield f"manifest.yaml: docs '{manifest.docs}' is no https link to the vendor's reference"
    if not manifest.owners:
        yield "manifest.yaml: owners is empty"
    if not re.search(r"https://\S+", subject.text("README.md")):
        yield "README.md: no link to the vendor's documentation or terms of use"


def _mapping(subject: Subject) -> Iterator[str]:
    if subject.mapping_problem is not None:
        yield subject.mapping_problem


def _streams_mapped(subject: Subject) -> Iterator[str]:
    for name in subject.manifest.streams:
        if name not in subject.mapping.streams:
            yield f"mapping.yaml: stream '{name}' of the manifest is not mapped"


def _schema_present(subject: Subject) -> Iterator[str]:
    for name in subject.manifest.streams:
        file = subject.schema_file(name)
        if not file.exists():
            yield f"schema/{name}.json is missing"
            continue
        try:
            jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, jsonschema.SchemaError) as error:
            yield f"schema/{name}.json: {str(error).splitlines()[0]}"


def _schema_minimal(subject: Subject) -> Iterator[str]:
    for spec, stream in subject.mapped_streams():
        reader = Reader(stream)
        for path in required_members(subject.schema(spec.name)):
            if not reader.depends_on(path):
                yield f"schema/{spec.name}.json requires '{paths.write(path)}', which nothing reads"


def _fixtures_present(subject: Subject) -> Iterator[str]:
    for name in subject.manifest.streams:
        if not subject.cases_of(name):
            yield f"fixtures/{name}/ has no case"
    for case in subject.cases:
        if case.stream not in subject.manifest.streams:
            yield f"fixtures/{case.name}.json belongs to no stream of the manifest"


def _fixtures_fit(subject: Subject) -> Iterator[str]:
    for case in subject.cases:
        if case.stream not in subject.manifest.streams:
            continue
        validator = jsonschema.Draft202012Validator(subject.schema(case.stream))
        for record in case.records(subject.manifest.streams[case.stream]):
            if record.problem is None:
                for error in validator.iter_errors(json.loads(record.payload)):
                    yield f"fixtures/{case.name}.json: {error.json_path}: {error.message}"


def _fixtures_match(subject: Subject) -> Iterator[str]:
    for stream, replay in subject.replays.items():
        for case in subject.cases_of(stream):
            if case.expected is None:
                yield f"fixtures/{case.name}.expected.json is missing"
            elif case.expected != replay.outcomes[case.name]:
                yield f"fixtures/{case.name}.json: {_difference(case.expected, replay.outcomes[case.name])}"


def _difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    for part in ("rows", "quarantined"):
        lost = [item for item in expected.get(part, []) if item not in found[part]]
        new = [item for item in found[part] if item not in expected.get(part, [])]
        if lost or new:
            shown = [f"expected {json.dumps(lost[0], ensure_ascii=False)}"] if lost else []
            shown += [f"got {json.dumps(new[0], ensure_ascii=False)}"] if new else []
            return f"{part}: {', '.join(shown)}"
    return "the same rows in another order or number"


def _deterministic(subject: Subject) -> Iterator[str]:
    """Mapped again, backwards and beside other records, every record gives what it gave at first."""
    for stream, replay in subject.replays.items():
        numbers = [number for number, problem in enumerate(_problems(subject, stream)) if problem is None]
        first = by_record(subject.compiled[stream], replay.batch, len(_problems(subject, stream)))
        for number, again in zip(numbers, subject.tries(stream).again, strict=True):
            if first[number] != again:
                yield f"fixtures/{stream}: record {number + 1} of its cases gives other rows when it is mapped again"


def _problems(subject: Subject, stream: str) -> list[Any]:
    spec = subject.manifest.streams[stream]
    return [record.problem for case in subject.cases_of(stream) for record in case.records(spec)]


def _accounted(subject: Subject) -> Iterator[str]:
    for stream, replay in subject.replays.items():
        for path in replay.batch.unmapped:
            yield f"mapping.yaml: {stream}: '{path}' is neither mapped nor ignored"


def _ignores_used(subject: Subject) -> Iterator[str]:
    for stream, replay in subject.replays.items():
        if not replay.batch.read:
            continue
        for text in replay.batch.unused:
            yield f"mapping.yaml: {stream}: ignore '{text}' covers nothing in the fixtures"
    for spec, made in subject.mapped_streams():
        taken = Reader(made).values()
        for rule in made.ignores:
            if not rule.prefix and generalised(rule.path) in taken:
                yield f"mapping.yaml: {spec.name}: '{rule.text}' is both mapped and ignored"


def _key(subject: Subject) -> Iterator[str]:
    for name, spec in subject.manifest.streams.items():
        for path in spec.key:
            if not declares(subject.schema(name), path):
                yield f"schema/{name}.json does not declare the key '{paths.write(path)}'"
        for case in subject.cases_of(name):
            for record in case.records(spec):
                if record.problem is not None and case.expected is not None and not case.expected["quarantined"]:
                    yield f"fixtures/{case.name}.json: {record.problem[0]}"


def _cursor(subject: Subject) -> Iterator[str]:
    for name, spec in subject.manifest.streams.items():
        if spec.incremental is not None and not declares(subject.schema(name), spec.incremental.cursor_path):
            yield f"schema/{name}.json does not declare the cursor '{paths.write(spec.incremental.cursor_path)}'"


def _secrets_marked(subject: Subject) -> Iterator[str]:
    for name, option in subject.manifest.config_schema.get("properties", {}).items():
        if _SECRET_NAME.search(name) and option.get("secret") is not True:
            yield f"manifest.yaml: config.{name} looks like a secret and is not marked `secret: true`"
        if option.get("secret") and ("default" in option or "enum" in option or "examples" in option):
            yield f"manifest.yaml: config.{name} is secret and shows a value"


def _no_secrets(subject: Subject) -> Iterator[str]:
    files = [
        *sorted(subject.folder.rglob("*.json")),
        *sorted(subject.folder.glob("*.yaml")),
        *sorted(subject.folder.glob("*.md")),
    ]
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if _SECRET_VALUE.search(line):
                yield f"{file.relative_to(subject.folder)}:{number} holds what looks like a secret"


def _readme(subject: Subject) -> Iterator[str]:
    headings = [
        line.lstrip("# ").strip().casefold() for line in subject.text("README.md").splitlines() if line.startswith("#")
    ]
    for section in README_SECTIONS:
        if not any(section in heading for heading in headings):
            yield f"README.md has no section '{section}'"


def _readme_current(subject: Subject) -> Iterator[str]:
    if subject.text("README.md"):
        yield from stale_tables(subject.manifest, subject.mapping, subject.text("README.md"))


def _hooks(subject: Subject) -> Iterator[str]:
    file = subject.folder / "hooks.py"
    if not file.exists():
        return
    lines = len(file.read_text(encoding="utf-8").splitlines())
    if lines > MAX_HOOK_LINES:
        yield f"hooks.py has {lines} lines, at most {MAX_HOOK_LINES}"
    yield from impure(file)
    yield from (f"{place}: not fully typed" for place in untyped(file))


def _stream_short(subject: Subject) -> Iterator[str]:
    for name in subject.mapping.streams:
        lines = sum(_block(subject, file, name) for file in ("manifest.yaml", "mapping.yaml"))
        if lines > MAX_STREAM_LINES:
            yield f"stream '{name}' takes {lines} declarative lines, typical is at most {MAX_STREAM_LINES}"


def _block(subject: Subject, file: str, stream: str) -> int:
    """Return how many lines that are neither blank nor comment a stream takes in a file."""
    data, locate = load_yaml(subject.folder / file)
    starts = sorted(locate(("streams", name)) for name in data["streams"])
    first = locate(("streams", stream))
    text = subject.text(file).splitlines()
    last = next((line for line in starts if line > first), len(text) + 1)
    return sum(1 for line in text[first - 1 : last - 1] if line.strip() and not line.lstrip().startswith("#"))


def _quality(subject: Subject) -> Iterator[str]:
    known = {rule.id for rule in RULES}
    for rule, verdict in subject.quality.items():
        if rule not in known:
            yield f"quality.yaml: no rule '{rule}'; known: {', '.join(sorted(known))}"
        elif verdict != "done" and not (
            isinstance(verdict, dict) and set(verdict) == {"exempt"} and str(verdict["exempt"] or "").strip()
        ):
            yield f"quality.yaml: {rule}: write `done` or `{{exempt: why}}`"


BEHAVIOUR: Final[dict[str, Callable[[Subject], Iterator[Word]]]] = {
    **truth.CHECKS, **children.CHECKS, **cursors.CHECKS, **resume.CHECKS, **hazards.CHECKS, **access.CHECKS, **fields.CHECKS,
}  # fmt: skip
_CHECKS: Final[dict[str, Callable[[Subject], Iterator[str]]]] = {
    "CON-MANIFEST-VALID": _manifest,
    "CON-NAME-IS-FOLDER": _name,
    "CON-LINKS-PRESENT": _links,
    "CON-MAPPING-VALID": _mapping,
    "CON-STREAMS-MAPPED": _streams_mapped,
    "CON-SCHEMA-PRESENT": _schema_present,
    "CON-SCHEMA-MINIMAL": _schema_minimal,
    "CON-FIXTURES-PRESENT": _fixtures_present,
    "CON-FIXTURES-FIT": _fixtures_fit,
    "CON-FIXTURES-MATCH": _fixtures_match,
    "CON-FIELDS-ACCOUNTED": _accounted,
    "CON-IGNORES-USED": _ignores_used,
    "CON-KEY-PRESENT": _key,
    "CON-CURSOR-DECLARED": _cursor,
    "CON-MAP-DETERMINISTIC": _deterministic,
    "CON-SECRETS-MARKED": _secrets_marked,
    "CON-NO-SECRETS": _no_secrets,
    "CON-README-SECTIONS": _readme,
    "CON-README-CURRENT": _readme_current,
    "CON-HOOKS-PURE": _hooks,
    "CON-STREAM-SHORT": _stream_short,
    "CON-QUALITY-VALID": _quality,
}


def _described(subject: Subject) -> Iterator[str]:
    """A description of the vendor apart from the manifest, so that what the manifest says wrongly can show."""
    file = subject.folder / SHAPE
    if not file.exists():
        yield f"{SHAPE} is missing: the vendor is known by the manifest alone, and its mistakes cannot show"
        return
    for name in subject.manifest.streams:
        if not subject.ground.endpoints(name):
            yield f"{SHAPE} does not serve stream '{name}'"


def _load() -> tuple[Rule, ...]:
    """Return the rules in the order of their files; each has its check, and each check its rule."""
    here = Path(__file__).parent
    checks = {**_CHECKS, "CON-VENDOR-DESCRIBED": _described, **BEHAVIOUR}
    facts = {}
    for file in (here / "rules.yaml", here / "behaviour" / "rules.yaml"):
        facts.update(load_yaml(file)[0])
    if set(facts) != set(checks):
        message = f"rules without a check or a text: {sorted(set(facts) ^ set(checks))}"
        raise ValueError(message)
    return tuple(Rule(id=name, check=checks[name], **texts) for name, texts in facts.items())


RULES: Final = _load()
