"""Rules about who asks and how often: credentials, their ways, missing keys, no access, the vendor's limits, secrets."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import templates
from connectors.sdk.errors import FixConfig, UnisonoError
from connectors.sdk.protocols import Completeness
from connectors.sdk.testing.behaviour.ground import Ground, incomplete, missing, on_streams, vendor
from connectors.sdk.testing.behaviour.stand import Stand
from connectors.sdk.testing.report import Judged, NotApplicable, Skip
from connectors.sdk.testing.simulator.message import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.sdk.specs import AuthSpec
    from connectors.sdk.testing.behaviour.trial import Read
    from connectors.sdk.testing.report import Word
    from connectors.sdk.testing.simulator.message import Request
    from connectors.sdk.testing.subject import Subject

_THIEF: Final = "https://thief.example"
_WORD: Final = re.compile(r"\{config\.(\w+)\}")
_FEW: Final = 3
_BURST: Final = 40


def ways(ground: Ground) -> Iterator[tuple[AuthSpec, dict[str, Any] | None]]:
    """Yield each way to authenticate with a config that the vendor accepts; None where it accepts none for it."""
    others = {key: value for key, value in ground.shape.demo.get("config", {}).items() if key not in _keys(ground)}
    for spec in ground.manifest.auth:
        found = _config(ground, spec)
        yield spec, None if found is None else {**others, **found}


def _keys(ground: Ground) -> set[str]:
    return {key for spec in ground.manifest.auth for key in spec.when}


def _config(ground: Ground, spec: AuthSpec) -> dict[str, Any] | None:
    if spec.type.startswith("oauth2_"):
        oauth = ground.shape.auth.oauth or {}
        given = {key: oauth.get(key) for key in spec.when}
        return given if all(given.values()) else None
    for way in ground.shape.auth.accept:
        if way["type"] not in (spec.type, spec.options.get("in")):
            continue
        for literals in _literals(way):
            found = _inverted(spec, literals)
            if found is not None and set(spec.when) <= set(found):
                return found
    return None


def _literals(way: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what the vendor accepts by one way, by the words that a manifest uses for it."""
    if way["type"] == "basic":
        yield from ({"username": name, "password": word} for name, word in way["users"].items())
    elif way["type"] == "bearer":
        yield from ({"token": token} for token in way["tokens"])
    else:
        yield from ({"value": value} for value in way["values"])


def _inverted(spec: AuthSpec, literals: Mapping[str, str]) -> dict[str, str] | None:
    """Return the config values that make the templates of ``spec`` what the vendor accepts."""
    found: dict[str, str] = {}
    for option, text in literals.items():
        pattern = _WORD.sub(
            r"(?P<\1>.+)",
            re.escape(str(spec.options.get(option, ""))).replace(r"\{", "{").replace(r"\}", "}").replace(r"\.", "."),
        )
        match = re.fullmatch(pattern, text)
        if match is None:
            return None
        found |= match.groupdict()
    return found


def _probe_stream(ground: Ground) -> str:
    """Return the stream that is read to try credentials."""
    plain = [
        name for name, spec in ground.manifest.streams.items() if spec.parent is None and name in ground.shape.streams
    ]
    if not plain:
        raise NotApplicable("no stream can be read without a parent")
    return min(plain, key=lambda name: (not ground.pages(name), ground.manifest.streams[name].partitions is not None))


def _every_way(subject: Subject) -> Iterator[Word]:
    ground = subject.ground
    stream = _probe_stream(ground)
    if not ground.manifest.auth:
        raise NotApplicable("the vendor asks for no credentials")
    for spec, config in ways(ground):
        name = " + ".join(spec.when)
        if config is None:
            yield Skip(name, f"simulator.yaml accepts no credential of this way ({name})")
            continue
        trial = ground.trial(stream, _FEW, stand=ground.stand(config=config))
        yield Judged(name)
        yield from (f"with {name}: {one}" for one in incomplete(trial.read(stream), "the read ends"))


def _required(subject: Subject) -> Iterator[Word]:
    """Take the config keys away one by one: an error that names one, and no request."""
    ground = subject.ground
    stream = _probe_stream(ground)
    for spec, config in ways(ground):
        if config is None:
            continue
        used = {rest for kind, rest in templates.words(dict(spec.options)) if kind == "config"}
        for key in dict.fromkeys((*spec.when, *sorted(used & set(config)))):
            left = set(config) - {key}
            if any(set(other.when) <= left for other in ground.manifest.auth if other is not spec):
                continue
            stand = ground.stand(config={name: value for name, value in config.items() if name != key})
            said = _refusal(ground, stand, stream)
            yield Judged(f"{'+'.join(spec.when)} without {key}")
            if said is None:
                yield f"config without {key} (of {' + '.join(spec.when)}) is accepted"
            elif not any(name in said for name in (*spec.when, key)):
                yield f"config without {key}: the error names none of {', '.join(spec.when)}: {said}"
            elif stand.asked:
                yield f"config without {key}: {len(stand.asked)} requests are sent before it is noticed"


def _refusal(ground: Ground, stand: Stand, stream: str) -> str | None:
    try:
        read = ground.trial(stream, _FEW, stand=stand).read(stream)
    except UnisonoError as why:
        return str(why)
    return str(read.error) if isinstance(read.error, FixConfig) else None


def _wrong_credentials(subject: Subject) -> Iterator[Word]:
    ground = subject.ground
    stream = _probe_stream(ground)
    for spec, config in ways(ground):
        if config is None or spec.type.startswith("oauth2_"):
            continue
        stand = ground.stand(config={key: f"{value}x" if key in spec.when else value for key, value in config.items()})
        read = ground.trial(stream, _FEW, stand=stand).read(stream)
        yield Judged(" + ".join(spec.when))
        refused = stand.shape.auth.refused.status
        if read.complete or not (isinstance(read.error, FixConfig) or Completeness.NO_ACCESS in read.ends.values()):
            yield f"credentials that the vendor refuses with {refused} end in {read.outcome}"


def _no_access(ground: Ground, stream: str) -> Iterator[str]:
    trial = ground.trial(stream, _FEW)
    door = vendor(trial)
    door.before = lambda _request: Response(403, b'{"error": "forbidden"}')
    read = trial.read(stream)
    wanted = ground.manifest.streams[stream].scope or "permission"
    if Completeness.NO_ACCESS not in read.ends.values():
        yield f"the vendor answers 403 and the read ends {read.outcome}"
    elif not any(wanted in reason for reason in read.reasons):
        yield f"the vendor answers 403 and the reason does not name '{wanted}'"


def _limit(subject: Subject) -> Iterator[Word]:
    """Read more pages than the vendor allows in its window, with both limits scaled down alike."""
    ground = subject.ground
    limit, mine = ground.shape.limit, ground.manifest.limits
    if limit is None:
        raise NotApplicable("simulator.yaml states no limit")
    stream = _probe_stream(ground)
    scale = max(1, limit.requests // _BURST)
    allowed = max(1, limit.requests // scale)
    stand = ground.stand()
    stand.shape = replace(stand.shape, limit=replace(limit, requests=allowed))
    stand.open(limited=True)
    if mine.requests is not None:
        stand.manifest = replace(stand.manifest, limits=replace(mine, requests=max(1, mine.requests // scale)))
    trial = ground.trial(stream, 3 * (allowed + 5), stand=stand)
    read = trial.read(stream)
    yield Judged(stream)
    refused = sum(one.status == limit.answer.status for one in stand.asked)
    if refused:
        yield f"{refused} of {len(stand.asked)} requests were above the vendor's {limit.requests} in {limit.seconds:g} s"
    yield from incomplete(read, "the read ends")


def _redirect(ground: Ground, stream: str) -> Iterator[str]:
    trial = ground.trial(stream, _FEW)
    door = vendor(trial)
    door.before = lambda request: (
        Response(302, b"", {"Location": _THIEF + request.path}) if door.mine(request) else Response(200, b"{}")
    )
    yield from _stolen(door, trial.read(stream), "a redirect to another host")


def _stolen(door: Stand, read: Read, what: str) -> Iterator[str]:
    if any(one.origin == _THIEF for one in door.asked):
        yield f"{what} is followed, credentials and all"
    elif read.complete:
        yield f"{what} is not followed, and the read says COMPLETE"


def _unseen(subject: Subject) -> Iterator[Word]:
    """The vendor shows what it was sent: in a refusal, in a 500 and in a page that is none."""
    ground = subject.ground
    stream = _probe_stream(ground)
    answers = {"400": 400, "503": 503, "a page of HTML": 200}
    for spec, config in ways(ground):
        if config is None:
            continue
        yield Judged(" + ".join(spec.when))
        for name, status in answers.items():
            yield from _shown(ground, stream, spec, config, (name, status))


def _shown(
    ground: Ground, stream: str, spec: AuthSpec, config: dict[str, Any], answer: tuple[str, int]
) -> Iterator[str]:
    trial = ground.trial(stream, _FEW, stand=ground.stand(config=config))
    door = vendor(trial)
    sent: set[str] = set()

    def echo(request: Request) -> Response | None:
        if door.is_token(request):
            return None
        sent.update(request.headers.get("authorization", "").split())
        return Response(answer[1], f"<p>You sent {request.headers} {request.query}</p>".encode())

    door.before = echo
    read = trial.read(stream)
    told = f"{read.error} {read.reasons} {read.said} {trial.connection!r}"
    secret = {str(config[key]) for key in spec.when if key in ground.manifest.secret_keys or key in _looks_secret(spec)}
    forms = {form for one in secret for form in (one, base64.b64encode(one.encode()).decode().rstrip("="))}
    forms |= {word for word in sent if len(word) > 15}  # noqa: PLR2004  a token, not the word Bearer
    leaked = sorted(form for form in forms if form in told)
    if leaked:
        yield f"with {' + '.join(spec.when)}, after {answer[0]}, the error or the log shows a credential ({len(leaked)} forms)"


def _looks_secret(spec: AuthSpec) -> set[str]:
    return {key for key in spec.when if re.search(r"token|secret|password|key", key)}


def _token_expires(subject: Subject) -> Iterator[Word]:
    """The access token stops working in the middle; with single-use refresh tokens every one is used once."""
    ground = subject.ground
    stream = _probe_stream(ground)
    tried = False
    for spec, config in ways(ground):
        if config is None or not spec.type.startswith("oauth2_"):
            continue
        tried = True
        trial = ground.trial(stream, 12, stand=ground.stand(config=config))
        door = vendor(trial)
        count: list[int] = []

        def expire(request: Request, door: Stand = door, count: list[int] = count) -> Response | None:
            if not door.is_token(request):
                count.append(1)
                if len(count) in (2, 4):
                    door.revoke()
            return None

        door.before = expire
        read = trial.read(stream)
        yield Judged(" + ".join(spec.when))
        wrong = [*incomplete(read, "the read ends"), *missing(trial, stream)]
        yield from (f"with {' + '.join(spec.when)}, when the access token expires: {one}" for one in wrong)
    if not tried:
        raise NotApplicable("no way to authenticate has tokens that expire")


def _rotation(subject: Subject) -> Iterator[Word]:
    """A refresh token works once: the new one is kept before it is needed, also by the next process."""
    ground = subject.ground
    stream = _probe_stream(ground)
    tried = False
    for spec, config in ways(ground):
        if config is None or spec.type != "oauth2_refresh_token":
            continue
        tried = True
        stand = ground.stand(config=config)
        stand.rotates()
        trial = ground.trial(stream, 6, stand=stand)
        yield Judged(" + ".join(spec.when))
        for number in range(3):
            read = trial.read(stream, full=True, stop_after=1 if number == 1 else None)
            stand.clock.advance(30 * 24 * 3600)
            if read.error is not None:
                yield f"read {number + 1} with a refresh token that works once: {read.outcome}"
                break
    if not tried:
        raise NotApplicable("no way to authenticate has a refresh token")


CHECKS = {
    "AUTH-EVERY-WAY": _every_way,
    "AUTH-WRONG-CREDENTIALS": _wrong_credentials,
    "AUTH-NO-ACCESS": on_streams(_no_access),
    "AUTH-TOKEN-EXPIRES": _token_expires,
    "AUTH-ROTATION": _rotation,
    "CONFIG-KEYS-NEEDED": _required,
    "LIMIT-KEPT": _limit,
    "SECRET-REDIRECT": on_streams(_redirect),
    "SECRET-NEVER-SHOWN": _unseen,
}
