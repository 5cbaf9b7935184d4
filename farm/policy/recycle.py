"""When a context is replaced before it serves the next URL."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecycleParams:
    """`pages` visits a context serves at the most; `per_url` gives every URL a context of its own."""

    pages: int = 100
    per_url: bool = False


def reason_to_recycle(
    served: int, context_site: str | None, next_site: str, params: RecycleParams
) -> str | None:
    """Say why the context must go before it visits `next_site`: `site`, `pages`, `url`, or None.

    A context never serves two sites: cookies and storage of one must not reach another.
    """
    if served == 0:
        return None
    if context_site != next_site:
        return "site"
    if params.per_url:
        return "url"
    return "pages" if served >= params.pages else None
