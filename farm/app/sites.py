"""What the site tables of `farm.toml` come to: what nodes agree on, and the limits of sites.

What always holds: the nodes of a crawl have the same tables, by what is kept with it in Redis; only the values of
headers are a node's own, since they are secrets.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from farm.frontier.terms import SiteTerms
from farm.model.errors import UsageError
from farm.model.url import covering
from farm.policy.aimd import PaceParams
from farm.settings.sites import SiteTable

FIRST_IN_FLIGHT = 8
"""How many visits to a site there are at once before anything is known of it."""
Tables = Mapping[str, SiteTable]


def agreed_tables(tables: Tables) -> dict[str, Any]:
    """Return what nodes agree on of the tables, as JSON has it: all but the values of headers. Nothing of none."""
    if not tables:
        return {}
    said = {
        name: table.model_dump(mode="json", exclude={"headers"}, exclude_defaults=True)
        for name, table in tables.items()
    }
    names = {name: header_names(table) for name, table in tables.items() if table.headers}
    return {"site": said, **({"site_headers": names} if names else {})}


def header_names(table: SiteTable) -> list[str]:
    """Return the names of a table's headers, in lower case and in order."""
    return sorted({header.reveal().partition(":")[0].strip().lower() for header in table.headers})


def check_headers(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise UsageError where a node lacks headers that its crawl was begun with."""
    wanted, there = stored.get("site_headers") or {}, given.get("site_headers") or {}
    for name, headers in sorted(wanted.items()):
        if there.get(name) != headers:
            raise UsageError(
                f'This crawl was begun with headers in [site."{name}"] ({", ".join(headers)}), whose values are '
                "not kept; give them in farm.toml again, or begin anew with --fresh."
            )


def site_terms(tables: Tables) -> dict[str, SiteTerms]:
    """Return the limits of the tables that have any."""
    return {
        name: SiteTerms(
            1 / table.rate.per_s if table.rate else 0.0,
            table.concurrency or 0,
            min(table.concurrency or 0, FIRST_IN_FLIGHT),
        )
        for name, table in tables.items()
        if table.rate or table.concurrency
    }


def own_paces(tables: Tables, crawls: PaceParams) -> Callable[[str], PaceParams | None]:
    """Return what gives each site the params of its pace; None where the crawl's hold."""
    paces = {
        name: replace(
            crawls,
            most=table.concurrency or crawls.most,
            first=min(table.concurrency or crawls.most, FIRST_IN_FLIGHT),
            ceiling=table.rate.per_s if table.rate else crawls.ceiling,
        )
        for name, table in tables.items()
        if table.rate or table.concurrency
    }
    return lambda site: covering(paces, site)
