"""The documents of one visit as the engine's events tell them: which were asked for, and what answered.

Invariants: no more than `MOST` documents of a visit are kept, and hops of each, the first and the latest;
what has not the form of CDP is no event, since a page may have got the better of its engine.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

MOST = 40


@dataclass(slots=True)
class Requested:
    """A document of the main frame: the addresses that its request went through, and its answer."""

    loader_id: str
    urls: list[str]
    statuses: list[int] = field(default_factory=list)
    """Of the addresses before the last one: what each answered, 0 where that is unknown."""
    answer: Mapping[str, Any] | None = None
    failure: str = ""
    is_shown: bool = False

    @property
    def status(self) -> int:
        """What it answered; 0 before that."""
        return int(self.answer["status"]) if self.answer is not None else 0


class VisitedDocuments:
    """Takes the events of one tab, whose main frame is `frame_id`."""

    def __init__(self, frame_id: str) -> None:
        self._frame_id = frame_id
        self._all: list[Requested] = []
        self._changed = asyncio.Event()

    def forget(self) -> None:
        """Start a visit."""
        self._all = []

    def asked(self, event: Mapping[str, Any]) -> None:
        """Take a request: a document of the main frame, or the next hop of its redirects."""
        if event.get("type") != "Document" or event.get("frameId") != self._frame_id:
            return
        url, loader_id = part_of(event, "request").get("url"), str(event.get("loaderId"))
        if not isinstance(url, str):
            return
        last = self.last
        if last is not None and last.loader_id == loader_id:
            if len(last.urls) >= MOST:
                del last.urls[1], last.statuses[1]
            last.urls.append(url)
            status = part_of(event, "redirectResponse").get("status")
            last.statuses.append(status if isinstance(status, int) else 0)
        else:
            if len(self._all) >= MOST:
                del self._all[1]
            self._all.append(Requested(loader_id, [url]))
        self._changed.set()

    def answered(self, event: Mapping[str, Any]) -> None:
        """Take an answer."""
        if event.get("type") == "Document" and event.get("frameId") == self._frame_id:
            response = part_of(event, "response")
            if isinstance(response.get("status"), int) and isinstance(response.get("headers"), dict):
                for one in self._of(event.get("loaderId")):
                    one.answer = response
            self._changed.set()

    def failed(self, event: Mapping[str, Any]) -> None:
        """Take the end of a request that failed; a document that has been shown ends so when it is replaced."""
        for one in self._of(event.get("requestId")):
            if not one.is_shown:
                one.failure = str(event.get("errorText", "it failed"))[:200]
            self._changed.set()

    def shown(self, event: Mapping[str, Any]) -> None:
        """Take the moment at which a document takes the place of the one before."""
        frame = part_of(event, "frame")
        if frame.get("id") == self._frame_id:
            for one in self._of(frame.get("loaderId")):
                one.is_shown = True
            self._changed.set()

    def _of(self, loader_id: object) -> list[Requested]:
        return [one for one in self._all if one.loader_id == loader_id]

    @property
    def last(self) -> Requested | None:
        """The document that was asked for last."""
        return self._all[-1] if self._all else None

    @property
    def count(self) -> int:
        """How many documents were shown."""
        return sum(one.is_shown for one in self._all)

    @property
    def is_moving(self) -> bool:
        """Whether another document is on its way."""
        last = self.last
        return last is not None and not last.is_shown and not last.failure

    async def changed(self) -> None:
        """Return with the next event."""
        self._changed.clear()
        await self._changed.wait()

    def way(self) -> tuple[Requested | None, tuple[tuple[str, int], ...]]:
        """Return the document that is shown, and the addresses before it with what each answered.

        Documents that never came, and addresses that only were loaded again, are no part of the way.
        """
        came = [one for one in self._all if one.is_shown and one.answer is not None]
        steps: list[tuple[str, int]] = []
        for one in came:
            steps += zip(one.urls, (*one.statuses, one.status), strict=True)
        before = tuple(step for step, following in pairwise(steps) if step[0] != following[0])
        return (came[-1] if came else None), before


def part_of(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object within what the engine says; an empty one where there is none of the name."""
    part = said.get(name)
    return part if isinstance(part, dict) else {}
