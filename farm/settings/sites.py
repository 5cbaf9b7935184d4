"""Options of single sites: the tables `[site."shop.example"]` of `farm.toml`.

A table covers the site that it names, as the frontier names sites (`shop.example`, `shop.example:8443`), or with
`*.` every subdomain. If several cover a site, only the most specific one applies.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import NoDecode

from farm.model.url import ANY_SUBDOMAIN, host_of, is_address
from farm.policy.renderers import RenderMode
from farm.scope.canonical import Refusal, canonicalise
from farm.settings.origin import CONFIG, did_you_mean
from farm.settings.units import BlockedKinds, HeaderLine, RateLimit, WaitRule, lines

MOST_TABLES = 10_000
MOST_PAGES = 1_000
MOST_MATCH_CHARS = 1_000
_SHOWN_CHARS = 80
_NOT_OF_A_HOST = frozenset("/\\?#@* \t\r\n")


class _Table(BaseModel):
    """A table that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("it must be a table")  # noqa: TRY004 - pydantic takes ValueError alone
        known = cls.model_fields.keys()
        unknown = next((str(key) for key in value if key not in known), None)
        if unknown is None:
            return value
        shown = repr(unknown[:_SHOWN_CHARS])
        if isinstance(value[unknown], Mapping):
            raise ValueError(  # noqa: TRY004
                f'it has a table {shown}; write the host in quotes, such as [site."shop.example"]'
            )
        meant = did_you_mean(unknown, known)
        raise ValueError(f"it has {shown}, which is not a setting of it{meant}; they are {', '.join(known)}")


class PageRule(_Table):
    """How pages are rendered whose path matches the glob `match`; `*` matches slashes too.

    If several match a page, each key is taken from the first one that has it.
    """

    match: str = Field(max_length=MOST_MATCH_CHARS)
    wait: WaitRule | None = None
    render: RenderMode | None = None

    @field_validator("match")
    @classmethod
    def _path(cls, value: str) -> str:
        if not value.startswith(("/", "*")):
            raise ValueError("write the path of a URL, such as /product/*")
        return value

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.wait is None and self.render is None:
            raise ValueError("it needs wait or render")
        return self


class SiteTable(_Table):
    """The options of one site; for those that it lacks, the options of the run apply."""

    rate: RateLimit | None = None
    concurrency: int | None = Field(default=None, ge=1)
    render: RenderMode | None = None
    wait: WaitRule | None = None
    block: BlockedKinds | None = None
    headers: tuple[HeaderLine, ...] = ()
    page: tuple[PageRule, ...] = Field(default=(), max_length=MOST_PAGES)

    @field_validator("headers", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        given = lines(value)
        if not isinstance(given, list | tuple) or any(isinstance(one, list | dict) for one in given):
            raise ValueError("write a list of 'NAME: VALUE'")
        return given


def parse_site_name(value: Any) -> str:
    """Return the name of a table as the frontier writes sites; raises ValueError with the allowed forms."""
    text = str(value).strip()
    host = text.removeprefix(ANY_SUBDOMAIN).removesuffix(":80")
    found = None if _NOT_OF_A_HOST & {*host} or not host else canonicalise(f"https://{host}/")
    if found is None or isinstance(found, Refusal):
        raise ValueError("write a host, such as shop.example, shop.example:8443 or *.shop.example")
    if not text.startswith(ANY_SUBDOMAIN):
        return found.site
    if is_address(host_of(found.site)):
        raise ValueError("an address has no subdomains")
    return ANY_SUBDOMAIN + found.site


def check_tables(value: Any) -> Any:
    """Return the tables by their sites' names.

    Raises ValueError if they are no tables, are too many, or two of them name one site.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f'write tables in {CONFIG}, such as [site."shop.example"]')  # noqa: TRY004
    if len(value) > MOST_TABLES:
        raise ValueError(f"there are {len(value):,} tables, and no more than {MOST_TABLES:,} may be")
    named: dict[str, Any] = {}
    for given, table in value.items():
        try:
            name = parse_site_name(given)
        except ValueError as error:
            raise ValueError(f"[site.{_quoted(given)}]: {error}") from None
        if name in named:
            raise ValueError(f"[site.{_quoted(given)}]: {name} has another table")
        named[name] = table
    return named


SiteTables = Annotated[dict[str, SiteTable], NoDecode, BeforeValidator(check_tables)]


def blamed(error: ErrorDetails, message: str) -> str:
    """Return a sentence about an error in a table, with its key, and its value unless that may be a secret."""
    if len(error["loc"]) == 1:
        return f"{CONFIG}: {message}."
    _, name, *path = error["loc"]
    keys = [part for part in path if isinstance(part, str)]
    numbers = [part for part in path if isinstance(part, int)]
    where = f"[site.{_quoted(name)}]"
    if keys[:1] == ["page"] and numbers:
        where, keys = f"[[site.{_quoted(name)}.page]] number {numbers[0] + 1}", keys[1:]
    if not keys:
        return f"{CONFIG}, {where}: {message}."
    if error["type"] == "missing":
        return f"{CONFIG}, {where}: it needs {keys[0]}."
    shown = "" if keys[0] == "headers" else f" = {str(error['input'])[:_SHOWN_CHARS]}"
    return f"{CONFIG}, {where}: {keys[0]}{shown}: {message}."


def _quoted(name: Any) -> str:
    return f'"{str(name)[:_SHOWN_CHARS]}"'
