"""The documents of one visit as the engine's events tell them: which were asked for, and what answered.

What always holds: no more than `MOST` documents of a visit are kept, and hops of each, the first and the latest.
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
        url, loader_id = str(event["request"]["url"]), str(event.get("loaderId"))
        last = self.last
        if last is not None and last.loader_id == loader_id:
            if len(last.urls) >= MOST:
                del last.urls[1], last.statuses[1]
            last.urls.append(url)
            last.statuses.append(int(event.get("redirectResponse", {}).get("status", 0)))
        else:
            if len(self._all) >= MOST:
                del self._all[1]
            self._all.append(Requested(loader_id, [url]))
        self._changed.set()

    def answered(self, event: Mapping[str, Any]) -> None:
        """Take an answer."""
        if event.get("type") == "Document" and event.get("frameId") == self._frame_id:
            for one in self._of(event.get("loaderId")):
                one.answer = event["response"]
            self._changed.set()

    def failed(self, event: Mapping[str, Any]) -> None:
        """Take the end of a request that failed; a document that has been shown ends so when it is replaced."""
        for one in self._of(event.get("requestId")):
            if not one.is_shown:
                one.failure = str(event.get("errorText", "it failed"))[:200]
            self._changed.set()

    def shown(self, event: Mapping[str, Any]) -> None:
        """Take the moment at which a document takes the place of the one before."""
        frame = event.get("frame", {})
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
