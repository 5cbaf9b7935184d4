"""The description of the API in OpenAPI 3.1: what it takes, within which bounds, and what it answers."""

from collections.abc import Mapping
from typing import Any

from farm.model.outcome import FailureKind
from farm.policy.renderers import RenderMode

PREFIX = "/api/v1"
MOST_URLS = 1_000
MOST_LETTERS = 1_000
MOST_IDS = 1_000
CHOOSING = ("reason", "site", "contains")
"""What chooses dead letters."""
_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_COUNTS: _Schema = {"type": "object", "additionalProperties": _COUNT}
_NUMBER: _Schema = {"type": "number"}
_OBJECT: _Schema = {"type": "object"}


def _object(fields: Mapping[str, _Schema], *, optional: tuple[str, ...] = ()) -> _Schema:
    """Return the schema of an object with these fields, and perhaps more in a later version."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "required": required, "properties": dict(fields)}


def _exactly(fields: Mapping[str, _Schema], required: tuple[str, ...] = ()) -> _Schema:
    """Return the schema of what is sent: an object with no other fields than these."""
    schema: _Schema = {"type": "object", "properties": dict(fields), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


_FLOW = {"per_s": _NUMBER, "took_s": _NUMBER, "under_way": _NUMBER}
_NODE = _object(
    {
        "name": _TEXT,
        "state": {"enum": ["running", "draining", "lost", "ended"]},
        "last_seen": _TEXT,
        **dict.fromkeys(("version", "host", "settings"), _TEXT),
        **dict.fromkeys(("contexts", "leased", "memory_bytes"), _COUNT),
        "processes": {"type": "array", "items": _object({"pid": _COUNT, "contexts": _COUNT})},
    }
)
_STATUS = _object(
    {
        "crawl": _TEXT,
        "state": {"enum": ["running", "paused", "draining", "stopped", "finished"]},
        "ledger": _object(dict.fromkeys(("accepted", "queued", "delayed", "leased", "done", "dead"), _COUNT)),
        "dead_by_reason": _COUNTS,
        **dict.fromkeys(("rendered", "duplicates", "expired", "retried", "sites", "left_out"), _COUNT),
        "is_full": {"type": "boolean"},
        "tiers": _object({"pages": _COUNTS, "pages_by_share": _COUNTS, "audits": _COUNT, "differed": _COUNT}),
        "eligible": _COUNT,
        "nodes": {"type": "array", "items": _NODE},
        "proxy_bytes": _object({"used": _COUNT, "budget": _COUNT}),
        "flow": _object({**_FLOW, "nodes": _OBJECT, "sites": _OBJECT}),
    }
)
_LETTER = {
    "id": _TEXT,
    "reason": _TEXT,
    "at": {"type": ["string", "null"]},
    "detail": _TEXT,
    "attempts": _COUNT,
    "task": {
        "oneOf": [
            {"type": "null"},
            _object({"url": _TEXT, "site": _TEXT, "depth": _COUNT, "priority": _COUNT, "meta": _OBJECT}),
        ]
    },
}
_VISIT = _object(
    {
        "at": {"type": ["string", "null"]},
        **dict.fromkeys(("reason", "detail", "phase", "node", "context"), _TEXT),
        "proxy": {"type": ["string", "null"]},
        "status": _COUNT,
        "timings_ms": _COUNTS,
        "snapshot": {"type": "array", "items": _TEXT},
    }
)
_STATE = _object({"state": {"enum": ["paused", "running", "draining"]}})
_ERROR = _object({"error": _TEXT})
_CHOICE: dict[str, _Schema] = {
    "reason": {"enum": [str(kind) for kind in FailureKind]},
    "site": _TEXT,
    "contains": _TEXT,
}
_SEED = _exactly(
    {
        "url": _TEXT,
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
        "meta": _OBJECT,
        "label": {"type": ["string", "null"], "maxLength": 100},
        "render": {"enum": [*(str(mode) for mode in RenderMode), None]},
    },
    ("url",),
)
_IDS = {"type": "array", "maxItems": MOST_IDS, "items": {"type": "string", "pattern": "^[0-9a-f]{16}$"}}
_URLS = {"type": "array", "minItems": 1, "maxItems": MOST_URLS, "items": {"oneOf": [_TEXT, _SEED]}}
_PLACE = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_NOTHING = _exactly({})
_OPERATIONS: dict[str, tuple[str, str, _Schema | None, _Schema]] = {
    "/status": ("get", "The numbers of the crawl, as `farm status --json` has them", None, _STATUS),
    "/urls": (
        "post",
        "Add URLs to the crawl; those that are known already change nothing",
        _exactly({"urls": _URLS}, ("urls",)),
        _object({"added": _COUNT, "known": _COUNT}),
    ),
    "/dead": (
        "get",
        "Dead letters, a page at a time",
        None,
        _object({"letters": {"type": "array", "items": _object(_LETTER)}, "total": _COUNT}),
    ),
    "/dead/{id}": (
        "get",
        "One dead letter, with the visits that failed",
        None,
        _object({**_LETTER, "history": {"type": "array", "items": _VISIT}}),
    ),
    "/dead/replay": (
        "post",
        "Take dead letters back into their queues: all, those chosen, or those named; ask again unless `all`",
        {"oneOf": [_exactly({"ids": _IDS}, ("ids",)), _exactly(_CHOICE)]},
        _object({"replayed": _COUNT, "all": {"type": "boolean"}}),
    ),
    "/pause": ("post", "Take no new pages, on all nodes", _NOTHING, _STATE),
    "/resume": ("post", "Go on", _NOTHING, _STATE),
    "/drain": ("post", "Finish the pages under way on all nodes, and end them", _NOTHING, _STATE),
}
_PARAMETERS: dict[str, list[_Schema]] = {
    "/dead": [
        {"name": name, "in": "query", "schema": kind}
        for name, kind in {
            **_CHOICE,
            "start": _PLACE,
            "size": {**_PLACE, "minimum": 1, "maximum": MOST_LETTERS},
        }.items()
    ],
    "/dead/{id}": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}],
}
_FAILURES = {
    "400": "the request is invalid; `error` says why",
    "401": "the token is missing or wrong",
    "403": "the run has no token",
    "404": "there is no such letter, or no such path",
    "405": "the path has another method",
    "409": "the crawl cannot do that",
    "503": "Redis is away",
}


def _answer(text: str, schema: _Schema) -> _Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def description() -> dict[str, Any]:
    """Return the description of the API."""
    failures = {code: _answer(text, _ERROR) for code, text in _FAILURES.items()}
    paths: dict[str, Any] = {}
    for path, (method, text, sent, answered) in _OPERATIONS.items():
        name = f"{method}{path}".translate({ord("/"): "_", ord("{"): None, ord("}"): None})
        about: _Schema = {
            "summary": text,
            "operationId": name,
            "responses": {"200": _answer("done", answered), **failures},
        }
        if path in _PARAMETERS:
            about["parameters"] = _PARAMETERS[path]
        if sent is not None:
            content = {"application/json": {"schema": sent}}
            about["requestBody"] = {"required": "required" in sent, "content": content}
        if path == "/dead":
            # Where the id of a letter comes from.
            about["responses"]["200"]["links"] = {
                "letter": {"operationId": "get_dead_id", "parameters": {"id": "$response.body#/letters/0/id"}}
            }
        paths[f"{PREFIX}{path}"] = {method: about}
    return {
        "openapi": "3.1.0",
        "info": {"title": "farm", "version": "1"},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }
