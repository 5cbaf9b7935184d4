"""A declaration of what to extract: its rules, which are checked as a whole."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic_core import SchemaError

from farm.extract.documents import check_css, compiled_xpath
from farm.extract.json_paths import parse_path
from farm.model.page import CaptureRule
from farm.model.record import ItemType

MOST_FIELDS = 500
_PATTERN_CHARS = 1_000
_DEEPEST = 5
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_LANG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
_SOURCES = ("css", "xpath", "json_ld", "path", "capture")
Type = Literal["text", "html", "number", "integer", "boolean", "price", "date", "url", "json"]


def _css(value: str) -> str:
    check_css(value)
    return value


def _xpath(value: str) -> str:
    compiled_xpath(value)
    return value


def _path(value: str) -> str:
    parse_path(value)
    return value


def _capture(value: str) -> str:
    CaptureRule.parse(value)
    return value


def _pattern(value: str) -> str:
    try:
        # Rust's expressions take a time that grows with the text, whatever it is.
        TypeAdapter(Annotated[str, StringConstraints(pattern=value)])
    except SchemaError:
        raise ValueError(
            f"{value!r} is not a regular expression of linear time, without back-references and look-around"
        ) from None
    return value


Selector = Annotated[str, Field(min_length=1, max_length=_PATTERN_CHARS), AfterValidator(_css)]
Expression = Annotated[str, Field(min_length=1, max_length=_PATTERN_CHARS), AfterValidator(_xpath)]
JsonPath = Annotated[str, Field(max_length=_PATTERN_CHARS), AfterValidator(_path)]
Captured = Annotated[str, Field(max_length=_PATTERN_CHARS), AfterValidator(_capture)]
Pattern = Annotated[str, Field(max_length=_PATTERN_CHARS), AfterValidator(_pattern)]


class _Source(BaseModel):
    """Where a value is found: one key says it, or `path` together with `capture`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    css: Selector | None = None
    xpath: Expression | None = None
    json_ld: JsonPath | None = None
    path: JsonPath | None = None
    capture: Captured | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1 and given != ["path", "capture"]:
            said = f"it has {' and '.join(given)}" if given else "it does not say where to find the value"
            raise ValueError(
                f"{said}; give one of css, xpath, json_ld, path or capture, or path with capture"
            )
        return self

    @property
    def shown(self) -> str:
        """What it says, for a message."""
        given = [value for name in _SOURCES if (value := getattr(self, name)) is not None]
        return f"`{' of '.join(given)}`"

    @property
    def is_json(self) -> bool:
        """Whether it stands in JSON."""
        return self.css is None and self.xpath is None


def _named(value: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in value:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:80]!r} is not a field name; use at most 63 letters, digits and _, a letter first"
            )
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("two field names differ only in case, which databases ignore")
    return value


class FieldRule(_Source):
    """One field: where its value is found, its type and its bounds."""

    attr: str | None = Field(default=None, min_length=1, max_length=100)
    type: Type | None = None
    list: bool = False
    required: bool = False
    pattern: Pattern | None = None
    min: float | None = None
    max: float | None = None
    locale: str | None = Field(default=None, pattern=_LANG)
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    fields: "Annotated[dict[str, Rule], AfterValidator(_named)] | None" = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.attr is not None and self.is_json:
            raise ValueError("attr is for css and xpath only")
        if self.fields is not None and (self.type is not None or self.attr is not None):
            raise ValueError("fields cannot be given together with type or attr, because they are the value")
        if (self.min is not None or self.max is not None) and self.type not in {"number", "integer"}:
            raise ValueError('min and max are for type = "number" or "integer" only')
        if self.pattern is not None and self.type not in {None, "text", "url", "html"}:
            raise ValueError("pattern is for texts only")
        if self.currency is not None and self.type != "price":
            raise ValueError('currency is for type = "price" only')
        return self

    @property
    def holds(self) -> ItemType:
        """What a sink stores of it."""
        if self.list or self.fields is not None or (self.type is None and self.is_json):
            return "json"
        return _HOLDS.get(self.type, "text")


_HOLDS: Mapping[str | None, ItemType] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "price": "json",
    "json": "json",
}


def _rule(value: Any) -> Any:
    return {"css": value} if isinstance(value, str) else value


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Rule = Annotated[FieldRule, BeforeValidator(_rule)]
FieldRule.model_rebuild()


class ItemRule(BaseModel):
    """One kind of item: the pages that have it, where each item is found, and its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    url: Annotated[list[str], BeforeValidator(_list)] = []
    url_pattern: Annotated[list[Pattern], BeforeValidator(_list)] = []
    each: Annotated[_Source, BeforeValidator(_rule)] | None = None
    locale: str | None = Field(default=None, pattern=_LANG)
    fields: Annotated[dict[str, Rule], AfterValidator(_named)] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        for glob in value:
            if not glob.startswith(("/", "*")) or len(glob) > _PATTERN_CHARS:
                raise ValueError("write the path of a URL, such as /product/*")
        return value


class Declaration(BaseModel):
    """A whole file: rules by the kinds of items."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    locale: str | None = Field(default=None, pattern=_LANG)
    item: dict[str, ItemRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        for kind in self.item:
            if not _NAME.fullmatch(kind):
                raise ValueError(f"{kind[:80]!r} is not a name for a kind of item; use letters, digits and _")
        depths = [_size(rule.fields, 1) for rule in self.item.values()]
        if sum(count for count, _ in depths) > MOST_FIELDS:
            raise ValueError(f"there are more than {MOST_FIELDS} fields")
        if max(depth for _, depth in depths) > _DEEPEST:
            raise ValueError(f"fields are nested more than {_DEEPEST} deep")
        return self

    def stored(self) -> dict[str, Any]:
        """Return what nodes of a crawl agree on of it, as JSON has it, with the order of kinds and fields."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        for rule in content["item"].values():
            _note_order(rule)
        return {**content, _ORDER: [*content["item"]]}

    @classmethod
    def of_stored(cls, content: Any) -> Self:
        """Return the declaration of such a form; raises ValueError for anything else."""
        try:
            rules = {kind: _in_order(content["item"][kind], 1) for kind in content[_ORDER]}
            rest = {name: value for name, value in content.items() if name != _ORDER}
        except (AttributeError, KeyError, TypeError):
            raise ValueError("it is not a declaration") from None
        return cls.model_validate_json(json.dumps({**rest, "item": rules}))

    @property
    def columns(self) -> dict[str, ItemType]:
        """Return the fields of all kinds with what they hold; `json` where two kinds do not agree."""
        found: dict[str, ItemType] = {}
        for rule in self.item.values():
            for name, one in rule.fields.items():
                found[name] = "json" if found.get(name, one.holds) != one.holds else one.holds
        return found

    @property
    def needs_html(self) -> bool:
        """Whether any field is read from the HTML."""
        return any(not source.is_json for rule in self.item.values() for source in _sources(rule))

    @property
    def captures(self) -> tuple[str, ...]:
        """Which answers to scripts of a page are read, as `--capture` says it."""
        every = (source.capture for rule in self.item.values() for source in _sources(rule))
        return tuple(dict.fromkeys(one for one in every if one is not None))


_ORDER = "order"
"""Beside the fields of a rule their names in order: JSON objects are stored without one."""


def _note_order(rule: dict[str, Any]) -> None:
    if "fields" in rule:
        rule[_ORDER] = [*rule["fields"]]
        for one in rule["fields"].values():
            _note_order(one)


def _in_order(rule: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > _DEEPEST + 1:
        raise ValueError(f"fields are nested more than {_DEEPEST} deep")
    rest = {name: value for name, value in rule.items() if name != _ORDER}
    if "fields" not in rest:
        return rest
    return rest | {"fields": {name: _in_order(rest["fields"][name], depth + 1) for name in rule[_ORDER]}}


def _size(fields: Mapping[str, FieldRule], depth: int) -> tuple[int, int]:
    inner = [_size(one.fields, depth + 1) for one in fields.values() if one.fields]
    return len(fields) + sum(count for count, _ in inner), max([depth, *(deep for _, deep in inner)])


def _sources(rule: ItemRule) -> list[_Source]:
    """Return the sources of a rule, those of nested fields too."""
    found: list[_Source] = [rule.each] if rule.each else []
    waiting = [*rule.fields.values()]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend((one.fields or {}).values())
    return found
