"""All vendors behind one door, the log of what was asked, and the simulator's own pages for tests and the demo."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, replace
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING, Any

from .advance import Advance, Changed
from .blocks import Truth, World
from .faults import Fault, wrapped
from .holdings import Holdings
from .message import Request, Response
from .vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG = 50_000


class App:
    """Answers every request of a simulator; thread-safe, so that a test may look in while it serves."""

    def __init__(
        self,
        world: World,
        *,
        faults: tuple[Fault, ...] = (),
        limited: bool = False,
        clock: Callable[[], float] = time.monotonic,
        after_advance: Callable[[App], None] | None = None,
    ) -> None:
        self.world, self.after_advance = world, after_advance
        self.log: deque[dict[str, Any]] = deque(maxlen=_LOG)
        self.steps: list[dict[str, Any]] = []
        self._lock = RLock()
        self.holdings = {name: Holdings(world, shape) for name, shape in world.shapes.items()}
        self._doors = []
        for name, shape in world.shapes.items():
            vendor = Vendor(shape, self.holdings[name], clock, limited=limited)
            self._doors.append((shape, wrapped(shape, faults, vendor.answer)))
        self._own = {"vendors": self._vendors, "truth": self._truth, "log": self._log, "advance": self._advance}

    def answer(self, request: Request) -> Response:
        """Return the answer to a request, by its mount."""
        with self._lock:
            if request.path.startswith("/_simulator/"):
                return self._control(request)
            for shape, proceed in self._doors:
                if request.path.startswith(f"{shape.mount}/"):
                    path = request.path[len(shape.mount) :].rstrip("/")
                    asked = replace(request, path=path, base=request.base + shape.mount)
                    return self._logged(shape.vendor, asked, proceed(asked))
        mounts = [shape.mount for shape, _ in self._doors]
        return _json(404, {"error": f"nothing is mounted at {request.path}", "mounts": mounts})

    def advance(self, seed: int, count: int, at: datetime) -> list[Changed]:
        """Let the world change: ``count`` records get new content or appear, dated ``at``."""
        with self._lock:
            self.steps.append({"seed": seed, "count": count, "at": at.isoformat()})
            sizes = {name: sum(len(h.records(s)) for s in h.shape.served()) for name, h in self.holdings.items()}
            total = sum(sizes.values()) or 1
            at_ms = int(at.timestamp() * 1000)
            changed: list[Changed] = []
            for name, holdings in self.holdings.items():
                share = round(count * sizes[name] / total)
                changed += Advance(holdings, seed, len(self.steps), at_ms).run(share)
        if self.after_advance is not None:
            self.after_advance(self)
        return changed

    def truth(self, connection: str, stream: str) -> Iterator[Truth]:
        """Return what each record held now is truly about."""
        for record in list(self.holdings[connection].records(stream).values()):
            if record.entity is not None:
                yield Truth(connection, stream, record.key, record.entity)

    def _logged(self, vendor: str, request: Request, response: Response) -> Response:
        entry = {
            "vendor": vendor,
            "method": request.method,
            "path": request.path,
            "query": {name: values[-1] for name, values in request.query.items()},
            "status": response.status,
            "stream": response.stream,
            "records": response.records,
            "fault": response.fault,
        }
        self.log.append(entry)
        return response

    def _control(self, request: Request) -> Response:
        name, *rest = request.path.removeprefix("/_simulator/").split("/")
        if name not in self._own:
            return _json(404, {"error": f"no page {name}", "pages": sorted(self._own)})
        try:
            return _json(200, self._own[name](request, rest))
        except (KeyError, ValueError) as error:
            return _json(400, {"error": str(error)})

    def _vendors(self, _request: Request, _rest: list[str]) -> Any:
        return {
            name: {
                "mount": h.shape.mount,
                "streams": {s: len(h.records(s)) for s in h.shape.served()},
                "config": h.shape.demo.get("config", {}),
            }
            for name, h in self.holdings.items()
        }

    def _truth(self, _request: Request, rest: list[str]) -> Any:
        return [asdict(truth) for truth in self.truth(rest[0], rest[1])]

    def _log(self, request: Request, _rest: list[str]) -> Any:
        vendor = request.param("vendor")
        return [entry for entry in self.log if vendor in (None, entry["vendor"])]

    def _advance(self, request: Request, _rest: list[str]) -> Any:
        body = request.body
        at = datetime.fromisoformat(body["at"]) if "at" in body else datetime.now(UTC)
        changed = self.advance(int(body.get("seed", len(self.steps) + 1)), int(body.get("count", 100)), at)
        return {"changed": [asdict(change) for change in changed], "at": at.isoformat()}


def _json(status: int, body: Any) -> Response:
    return Response(status, json.dumps(body, ensure_ascii=False).encode())
