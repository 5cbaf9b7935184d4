"""Run a declaration on a page: typed items, and what failed, with the selector.

A failure never fails the page: a field that cannot be read is null, an item without a required field is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from farm.extract.declaration import Declaration, FieldRule, ItemRule
from farm.extract.documents import Document, Element, compiled_xpath
from farm.extract.json_paths import MOST_FOUND, of_type, parse_path, values_at
from farm.extract.nesting import Unreadable
from farm.extract.url_match import UrlMatch
from farm.extract.values import address_of, check_of, typed
from farm.model.page import CaptureRule, FetchedResponse
from farm.model.page_caps import usable_base

MOST_ITEMS = 10_000
MOST_ERRORS = 20
MOST_VALUE_CHARS = 1_000_000
MOST_PAGE_CHARS = 20_000_000
_SHOWN_CHARS = 60
_SHOWN_URL_CHARS = 200
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class PageContent:
    """A page to read items from: `url` decides which rules apply, addresses are relative to `base`.

    `responses` are the answers that its scripts got, as far as they were kept.
    """

    url: str
    base: str
    html: str
    lang: str = ""
    json_ld: Sequence[Any] = ()
    responses: Sequence[FetchedResponse] = ()

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "PageContent":
        """Return the content of a stored page, from the columns of its record."""
        return cls(
            record["url"],
            record["final_url"],
            record.get("html") or "",
            record.get("lang") or "",
            (record.get("metadata") or {}).get("json_ld") or (),
            [
                FetchedResponse(
                    *(one["url"], one["method"], one["status"], one["content_type"], one["body"]),
                    is_cut=one["truncated"],
                )
                for one in record.get("responses") or ()
            ],
        )


@dataclass(frozen=True, slots=True)
class Extraction:
    """The items with their kinds, in order, and `{kind, field, selector, message}` of what failed."""

    items: Sequence[tuple[str, Mapping[str, Any]]] = ()
    errors: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class _Run:
    page: PageContent
    kind: str = ""
    lang: str = ""
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    more: int = 0
    left_chars: int = MOST_PAGE_CHARS
    base: str = ""
    _document: Document | None = None
    _captured: dict[str, list[Any]] = field(default_factory=dict)

    def document(self) -> Document:
        if self._document is None:
            self._document = Document(self.page.html)
        return self._document

    def captured(self, pattern: str, rule: CaptureRule) -> list[Any]:
        """Return the JSON of the answers that a rule covers, in order; invalid JSON is reported."""
        if pattern not in self._captured:
            found = self._captured[pattern] = []
            for one in self.page.responses:
                if one.status < _REFUSED and one.body != "" and rule.covers(one.url, one.content_type):
                    found.extend(self._json(pattern, one))
        return self._captured[pattern]

    def _json(self, pattern: str, answer: FetchedResponse) -> list[Any]:
        shown = f"the answer of {answer.url[:_SHOWN_URL_CHARS]}"
        if answer.body is None or answer.is_cut:
            remedy = "give --capture json --capture-max 8MiB, or more"
            self.fail("", f"`{pattern}`", f"{shown} was not kept as a whole; {remedy}")
            return []
        try:
            return [orjson.loads(answer.body)]
        except ValueError:
            self.fail("", f"`{pattern}`", f"{shown} is not JSON")
            return []

    def fail(self, name: str, selector: str, message: str) -> None:
        if len(self.errors) >= MOST_ERRORS:
            self.more += 1
            return
        self.errors.append({"kind": self.kind, "field": name, "selector": selector, "message": message})


_Place = Any
_PAGE = object()
_MISSING = object()


class Extractor:
    """A declaration, ready to run. It may be used from any thread."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self.rules = [(kind, UrlMatch(rule), rule) for kind, rule in declaration.item.items()]
        self._checks: dict[int, TypeAdapter[Any]] = {}
        self._xpaths: dict[str, Any] = {}
        self.captures = {text: CaptureRule.parse(text) for text in declaration.captures}

    def matches(self, url: str) -> bool:
        """Return whether a rule is for this URL."""
        return any(match(url) for _, match, _ in self.rules)

    def read(self, page: PageContent) -> Extraction:
        """Return the items of the page. The page decides how long that takes: the farm calls it in a process."""
        run = _Run(page)
        items: list[tuple[str, Mapping[str, Any]]] = []
        run.base = _base(run)
        for kind, match, rule in self.rules:
            if not match(page.url):
                continue
            run.kind, run.lang = kind, rule.locale or self._declaration.locale or page.lang
            try:
                for place in self._places(run, rule):
                    if len(items) >= MOST_ITEMS:
                        run.fail("", "", f"there are more than {MOST_ITEMS:,} items; the others are left out")
                        break
                    item = self._fields(run, place, rule.fields, "")
                    if item is not None:
                        items.append((kind, item))
            except Unreadable as error:
                run.fail("", rule.each.shown if rule.each else "", f"the page was not read: {error}")
        if run.more:
            run.errors.append({"kind": "", "field": "", "selector": "", "message": f"{run.more:,} more"})
        return Extraction(tuple(items), tuple(run.errors))

    def _places(self, run: _Run, rule: ItemRule) -> Sequence[_Place]:
        if rule.each is None:
            return [_PAGE]
        places = _bounded(run, self._matches(run, _PAGE, rule.each), "", rule.each)
        if not places:
            run.fail("", rule.each.shown, f"{rule.each.shown} matches nothing")
        return places

    def _fields(
        self, run: _Run, place: _Place, rules: Mapping[str, FieldRule], above: str
    ) -> dict[str, Any] | None:
        """Return the fields; None if a required one is missing."""
        values: dict[str, Any] = {}
        for name, rule in rules.items():
            full = f"{above}{name}"
            value = self._field(run, place, rule, full)
            if value is _MISSING:
                if rule.required:
                    run.fail(full, rule.shown, f"{rule.shown} matches nothing; the item is left out")
                    return None
                value = [] if rule.list else None
            elif value is None and rule.required:
                return None
            values[name] = value
        return values

    def _field(self, run: _Run, place: _Place, rule: FieldRule, name: str) -> Any:
        try:
            found = self._matches(run, place, rule)
        except Unreadable as error:
            run.fail(name, rule.shown, f"{rule.shown}: {error}")
            return None
        values = []
        for one in _bounded(run, found, name, rule) if rule.list else found[:1]:
            try:
                value = self._value(run, one, rule, name)
            except ValueError as error:
                run.fail(name, rule.shown, _failed(rule, one, error))
                continue
            if value is not _MISSING:
                values.append(value)
        if rule.list:
            return values if values or not found else None
        if not found:
            return _MISSING
        return values[0] if values else None

    def _matches(self, run: _Run, place: _Place, rule: Any) -> Sequence[_Place]:
        if rule.css is not None or rule.xpath is not None:
            if place is not _PAGE and not hasattr(place, "css"):
                return ()
            within: Any = run.document() if place is _PAGE else place
            nodes: Sequence[_Place] = (
                within.css(rule.css) if rule.css is not None else within.xpath(self._xpath(rule.xpath))
            )
            return nodes
        if rule.json_ld is not None:
            steps = parse_path(rule.json_ld)
            value: Any = list(run.page.json_ld)
            if isinstance(steps[0], str) and steps[0][:1].isupper():
                value, steps = of_type(value, steps[0]), steps[1:]
        elif rule.capture is not None:
            value = run.captured(rule.capture, self.captures[rule.capture])
            steps = (None, *parse_path(rule.path)) if rule.path is not None else (None,)
        elif place is _PAGE or hasattr(place, "css"):
            return ()
        else:
            value, steps = place, parse_path(rule.path)
        found = values_at(value, steps)
        if getattr(rule, "type", None) == "json":
            return found
        inner = (part for one in found for part in (one if isinstance(one, list | tuple) else [one]))
        return [*islice(inner, MOST_FOUND)]

    def _xpath(self, path: str) -> Any:
        if path not in self._xpaths:
            self._xpaths[path] = compiled_xpath(path)
        return self._xpaths[path]

    def _value(self, run: _Run, found: Any, rule: FieldRule, name: str) -> Any:
        """Return a match as its type; raises ValueError."""
        if rule.fields is not None:
            nested = self._fields(run, found, rule.fields, f"{name}.")
            return None if nested is None else nested
        lang = rule.locale or run.lang
        raw = _raw(found, rule)
        if raw is None:
            raise ValueError(f"it has no attribute {rule.attr or 'with an address'}")
        if isinstance(raw, str):
            run.left_chars -= len(raw)
            if len(raw) > MOST_VALUE_CHARS or run.left_chars < 0:
                raise ValueError("it is too long")
        value = typed(raw, rule, lang, run.base)
        return self._checked(rule, value)

    def _checked(self, rule: FieldRule, value: Any) -> Any:
        """Return a value that keeps the rule's bounds; raises ValueError."""
        check = self._checks.get(id(rule))
        if check is None:
            check = self._checks[id(rule)] = check_of(rule)
        try:
            return check.validate_python(value)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].lower()) from None


@lru_cache(maxsize=4)
def extractor_of(declaration: str) -> Extractor:
    """Return the extractor of a declaration, which is given as JSON; the last few are cached."""
    return Extractor(Declaration.model_validate_json(declaration))


def items_of(texts: Sequence[bytes], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return `items` and `errors` of the HTML in `texts`, as JSON has them: what a parser process does.

    `arguments` has the `declaration` as JSON, and of the page `url`, `base`, `lang`, `json_ld` and `responses`;
    the bodies of these, where they have one, are the other `texts`.
    """
    found = extractor_of(arguments["declaration"]).read(page_of_arguments(texts, arguments))
    return {"items": found.items, "errors": found.errors}


def page_of_arguments(texts: Sequence[bytes], arguments: Mapping[str, Any]) -> PageContent:
    """Return the page that a parser process was given."""
    html, *bodies = (text.decode() for text in texts)
    left = iter(bodies)
    answers = [
        FetchedResponse(url, method, status, content_type, next(left) if has_body else None, is_cut)
        for url, method, status, content_type, has_body, is_cut in arguments["responses"]
    ]
    return PageContent(
        *(arguments["url"], arguments["base"], html, arguments["lang"], arguments["json_ld"]), answers
    )


def _bounded(run: _Run, found: Sequence[_Place], name: str, rule: Any) -> Sequence[_Place]:
    """Return as many matches as are kept, and say that there are more."""
    if len(found) > MOST_ITEMS:
        run.fail(
            name, rule.shown, f"{rule.shown} matches more than {MOST_ITEMS:,} times; only these are kept"
        )
    return found[:MOST_ITEMS]


def _base(run: _Run) -> str:
    """Return the base of relative addresses: `<base href>` or the page's address."""
    if "<base" not in run.page.html:
        return run.page.base
    try:
        found = run.document().css("base[href]")
        href = usable_base(found[0].attribute("href") or "") if found else None
        return address_of(href, run.page.base) if href is not None else run.page.base
    except (Unreadable, ValueError):
        return run.page.base


def _raw(found: Any, rule: FieldRule) -> Any:
    """Return a match as text, or as the JSON that it is."""
    if not hasattr(found, "css"):
        return found.strip() if isinstance(found, str) else found
    node: Element = found
    if rule.attr is not None:
        value = node.attribute(rule.attr)
        return None if value is None else value.strip()
    if rule.type == "url":
        return node.attribute("")
    return node.html() if rule.type == "html" else node.text()


def _failed(rule: FieldRule, found: Any, error: ValueError) -> str:
    raw = (
        ""
        if isinstance(found, Mapping | list)
        else str(_raw(found, FieldRule.model_construct(type=None)) or "")
    )
    shown = f" is {raw[:_SHOWN_CHARS]!r}" if raw else ""
    return f"{rule.shown}{shown}: {error}"
