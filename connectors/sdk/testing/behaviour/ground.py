"""The ground of the behavioural rules: fresh trials against the vendor of simulator.yaml, and the oracle's comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk.errors import FixConnector
from connectors.sdk.testing.behaviour.stand import PAGE, Stand, minutes, small_stream
from connectors.sdk.testing.behaviour.trial import Read, Trial
from connectors.sdk.testing.report import Judged, NotApplicable, Skip
from connectors.sdk.testing.simulator.blocks import World
from connectors.sdk.testing.simulator.shape import ShapeError, load_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from connectors.sdk.specs import Manifest, StreamSpec
    from connectors.sdk.testing.report import Word
    from connectors.sdk.testing.simulator.shape import Endpoint, Shape
    from connectors.sdk.testing.subject import Subject

SHAPE: Final = "simulator.yaml"
_PEOPLE: Final = 120
_PARENTS: Final = 4
_REAL: Final = 100


@dataclass(frozen=True)
class Ground:
    """One connector before its vendor; every trial starts from nothing."""

    manifest: Manifest
    shape: Shape
    world: World

    @classmethod
    def of(cls, subject: Subject) -> Ground:
        """Return the ground of a connector; NotApplicable without a simulator.yaml."""
        file = subject.folder / SHAPE
        if not file.exists():
            raise NotApplicable(f"no {SHAPE}: nothing but the manifest says how this vendor answers")
        try:
            shape = load_shape(file)
        except ShapeError as why:
            raise FixConnector("the vendor's description is wrong", where=SHAPE, why=str(why)) from why
        return cls(subject.manifest, shape, _world(file, file.stat().st_mtime_ns))

    @cached_property
    def small(self) -> Mapping[str, StreamSpec]:
        """The streams asking for small pages, where the vendor pages at all."""
        return {
            name: small_stream(spec, self.shape) if self.pages(name) else spec
            for name, spec in self.manifest.streams.items()
        }

    def endpoints(self, stream: str) -> list[Endpoint]:
        """Return the listings of a stream."""
        return [one for one in self.shape.endpoints if one.stream == stream and one.item is None]

    def pages(self, stream: str) -> bool:
        """Return whether the vendor lists the stream in pages."""
        return any(one.page is not None for one in self.endpoints(stream))

    def follows_links(self, stream: str) -> bool:
        """Return whether the stream is paged by addresses that the vendor gives."""
        return self.manifest.streams[stream].request.paginator.type in ("next_url", "header_link")

    def stand(self, *, real: bool = False, limited: bool = False, config: Mapping[str, Any] | None = None) -> Stand:
        """Return the vendor, holding nothing; ``real``: with the page sizes it really has."""
        return Stand(self.manifest, self.shape, self.world, page=None if real else PAGE, limited=limited, config=config)

    def trial(
        self, stream: str, times: int | Sequence[int], *, real: bool = False, stand: Stand | None = None
    ) -> Trial:
        """Return a reader before a vendor that holds a record of ``stream`` for each of ``times``."""
        if stream not in self.shape.streams:
            raise NotApplicable(f"{SHAPE} does not serve it")
        stand = stand or self.stand(real=real)
        moments = minutes(times) if isinstance(times, int) else times
        spec = self.manifest.streams[stream]
        below = None
        if spec.parent is not None:
            stand.lay(spec.parent.stream, minutes(_PARENTS))
            below = spread(len(moments))
        stand.lay(stream, moments, below)
        return Trial(stand, self.manifest.streams if real else self.small)

    def real_count(self, stream: str) -> int:
        """Return more records than two pages of the size asked for, where the vendor pages."""
        spec = self.manifest.streams[stream]
        size = max(
            spec.request.page_size or _REAL, *(one.page["size"]["max"] for one in self.endpoints(stream) if one.page), 1
        )
        return 2 * size + 1 if self.pages(stream) else 2


@cache
def _world(file: Path, _changed: int) -> World:
    """Return the records of one simulator.yaml, made once for each content."""
    shape = load_shape(file)
    return World(people=_PEOPLE, shapes={shape.vendor: shape}, spoil=False)


def spread(count: int) -> list[int]:
    """Return the place of each record's parent: the first has most, the second none, the others one page at most."""
    return [0 if at < count - 3 else 2 + at % 2 for at in range(count)]


def vendor(trial: Trial) -> Stand:
    """Return the vendor of a trial of this ground."""
    door: Any = trial.door
    return door  # type: ignore[no-any-return]


def missing(trial: Trial, stream: str) -> Iterator[str]:
    """Yield what the vendor holds and the reader does not, and the other way round."""
    there, here = vendor(trial).keys(stream), set(trial.held.get(stream, {}))
    if lost := there - here:
        yield f"{len(lost)} of {len(there)} records never came, the first is '{min(lost)}'"
    if strange := here - there:
        yield f"{len(strange)} records have a key that the vendor does not know, such as '{min(strange)}'"


def stale(trial: Trial, stream: str) -> Iterator[str]:
    """Yield the keys whose content is not what a new reader would get now."""
    fresh = Trial(trial.door, trial.streams)
    fresh.read(stream, full=True)
    here = trial.held.get(stream, {})
    old = [key for key, record in fresh.held.get(stream, {}).items() if key in here and here[key].hash != record.hash]
    if old:
        yield f"{len(old)} records are held in an older state, such as '{min(old)}'"


def incomplete(read: Read, when: str) -> Iterator[str]:
    """Yield why a read that should be COMPLETE is not."""
    if not read.complete:
        yield f"{when}: {read.outcome}"


Check = Callable[["Subject"], "Iterator[Word]"]


def on_streams(probe: Callable[[Ground, str], Iterable[str]], without: Check | None = None) -> Check:
    """Make a rule's check out of a probe of one stream; NotApplicable skips the stream.

    ``without`` is the check of a connector that has no description of its vendor but the manifest.
    """

    def check(subject: Subject) -> Iterator[Word]:
        if without is not None and not (subject.folder / SHAPE).exists():
            yield from without(subject)
            return
        ground = subject.ground
        for name in ground.manifest.streams:
            try:
                found = list(probe(ground, name))
            except NotApplicable as why:
                yield Skip(name, str(why))
                continue
            yield Judged(name)
            yield from (f"stream '{name}': {one}" for one in found)

    return check


def needs_cursor(ground: Ground, stream: str) -> None:
    """Raise NotApplicable for a stream that is always read whole."""
    if ground.manifest.streams[stream].incremental is None:
        raise NotApplicable("it has no cursor: every read is a full one")


def needs_pages(ground: Ground, stream: str) -> None:
    """Raise NotApplicable for a stream that the vendor answers in one piece."""
    if not ground.pages(stream):
        raise NotApplicable("the vendor answers it in one page")
