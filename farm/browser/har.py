"""The requests of a page as a HAR 1.2 file, with headers and times, without bodies.

The tab's own session tells of them: of all, where the engine says so to its driver (`EngineParams.requests`). What
always holds: no credentials, as in records; no more than `MOST` requests and `ALL_CHARS` of addresses and headers.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import orjson

from farm import __version__
from farm.browser.responses import Listener, beside
from farm.model.page import Capture
from farm.model.secret import MASK, USERINFO, is_secret_header, without_credentials

MOST = 2_000
ALL_CHARS = 4_000_000
URL_CHARS = 8_000
VALUE_CHARS = 8_000
MOST_HEADERS = 100
MOST_PARAMETERS = 100
PAGE_ID = "page_1"


class HarLog:
    """The requests of one tab's visit."""

    def __init__(self, frame_id: str) -> None:
        self._frame_id = frame_id
        self._document = self._before = ""
        self.forget()

    def beside(self, others: Mapping[str, Listener]) -> dict[str, Listener]:
        """Return what takes each event of the session, by its name: the others first."""
        own = {
            "Network.requestWillBeSent": self._asked,
            "Network.responseReceived": self._answered,
            "Network.loadingFinished": self._ended,
            "Network.loadingFailed": self._ended,
        }
        return beside(others, own)

    def forget(self) -> None:
        """Start a visit; requests of the previous page are ignored."""
        self._before, self._is_begun, self.is_short = self._document, False, False
        self._entries: list[dict[str, Any]] = []
        self._open: dict[str, tuple[dict[str, Any], float]] = {}
        """By number: the entry, and the time of its last event, in seconds."""
        self._left_chars = ALL_CHARS

    def file(self) -> Capture:
        """Return the HAR file of all requests so far."""
        page: dict[str, Any] = {
            "startedDateTime": self._entries[0]["startedDateTime"] if self._entries else _moment(0.0),
            "id": PAGE_ID,
            "title": self._entries[0]["request"]["url"] if self._entries else "",
            "pageTimings": {},
        }
        creator = {"name": "CrawlFarm", "version": __version__}
        log = {"log": {"version": "1.2", "creator": creator, "pages": [page], "entries": self._entries}}
        try:
            content = orjson.dumps(log)
        except TypeError:
            # Half of a surrogate pair, which a page can put into an address, is escaped.
            content = json.dumps(log).encode()
        return Capture("har", "har", content)

    def _asked(self, event: dict[str, Any]) -> None:
        number, request, kind = event["requestId"], event["request"], str(event.get("type", "Other"))
        if kind == "Document" and event.get("frameId") == self._frame_id:
            self._document, self._is_begun = str(event["loaderId"]), True
        url = str(request["url"])
        if not self._is_begun or event.get("loaderId") == self._before or not url.startswith("http"):
            return
        if "redirectResponse" in event and number in self._open:
            entry, since = self._open.pop(number)
            entry["response"] = _response(event["redirectResponse"], url)
            _took(entry, "wait", event["timestamp"] - since)
        self._left_chars -= len(url) + sum(map(len, request["headers"].values()))
        if len(self._entries) >= MOST or self._left_chars < 0:
            self.is_short = True
            return
        entry = {
            "pageref": PAGE_ID,
            "startedDateTime": _moment(event["wallTime"]),
            "time": 0.0,
            "request": _request(request, url),
            "response": _no_response(),
            "cache": {},
            "timings": {"send": 0.0, "wait": 0.0, "receive": 0.0},
            "_resourceType": kind.lower(),
        }
        self._entries.append(entry)
        self._open[number] = entry, event["timestamp"]

    def _answered(self, event: dict[str, Any]) -> None:
        entry, since = self._open.get(event["requestId"], (None, 0.0))
        if entry is None:
            return
        response = event["response"]
        self._left_chars -= sum(map(len, response["headers"].values()))
        if self._left_chars < 0:
            self.is_short = True
            response = {**response, "headers": {}}
        entry["response"] = _response(response, "")
        entry["request"]["httpVersion"] = entry["response"]["httpVersion"]
        self._open[event["requestId"]] = entry, event["timestamp"]
        _took(entry, "wait", event["timestamp"] - since)

    def _ended(self, event: dict[str, Any]) -> None:
        entry, since = self._open.pop(event["requestId"], (None, 0.0))
        if entry is None:
            return
        _took(entry, "receive" if entry["response"]["status"] else "wait", event["timestamp"] - since)
        if "errorText" in event:
            entry["response"]["_error"] = str(event["errorText"])
        elif "encodedDataLength" in event:
            entry["response"]["_transferSize"] = int(event["encodedDataLength"])


def _moment(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _took(entry: dict[str, Any], what: str, took_s: float) -> None:
    took_ms = round(max(0.0, took_s) * 1000, 3)
    entry["timings"][what] = took_ms
    entry["time"] = round(sum(entry["timings"].values()), 3)


def _request(request: Mapping[str, Any], url: str) -> dict[str, Any]:
    query = url.partition("#")[0].partition("?")[2][:URL_CHARS]
    pairs = islice(parse_qsl(query, keep_blank_values=True), MOST_PARAMETERS)
    return {
        "method": str(request["method"]),
        "url": _address(url),
        "httpVersion": "",
        "cookies": [],
        "headers": _headers(request["headers"]),
        "queryString": [{"name": name, "value": value} for name, value in pairs],
        "headersSize": -1,
        "bodySize": -1,
    }


def _no_response() -> dict[str, Any]:
    return {
        "status": 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }


def _response(response: Mapping[str, Any], redirect_url: str) -> dict[str, Any]:
    headers = response["headers"]
    return _no_response() | {
        "status": int(response["status"]),
        "statusText": str(response["statusText"])[:VALUE_CHARS],
        "httpVersion": str(response.get("protocol") or ""),
        "headers": _headers(headers),
        "content": {"size": 0, "mimeType": str(response.get("mimeType") or "x-unknown")},
        "redirectURL": _address(redirect_url),
    }


def _headers(headers: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "value": MASK if is_secret_header(name) else without_credentials(str(value)[:VALUE_CHARS]),
        }
        for name, value in islice(headers.items(), MOST_HEADERS)
    ]


def _address(url: str) -> str:
    return USERINFO.sub(r"\1", url)[:URL_CHARS]
