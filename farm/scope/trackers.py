"""Query parameters that say where a visitor came from, never which page it is.

The list is deliberately short of parameters that only *look* like tracking (`ref`, `source`, `cid`):
dropping one that selects content would hide pages, keeping one that does not costs a second visit.
"""

import re
from collections.abc import Collection

PREFIXES = ("utm_", "mtm_", "hsa_")
"""Families: every name that starts so is dropped (Google's and Matomo's campaigns, HubSpot's ads)."""

NAMES = frozenset(
    {
        # click identifiers of advertising networks
        *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid"),
        *("fbclid", "msclkid", "twclid", "ttclid", "li_fat_id", "rdt_cid", "sccid", "epik", "yclid"),
        *("ysclid", "irclickid", "cjevent", "zanpid", "rb_clickid", "wickedid", "ef_id", "s_kwcid"),
        *("_branch_match_id", "_openstat", "igshid", "igsh"),
        # newsletters and marketing automation
        *("mc_cid", "mc_eid", "mkt_tok", "ml_subscriber", "ml_subscriber_hash", "vero_id", "vero_conv"),
        *("oly_anon_id", "oly_enc_id", "_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking"),
        *("_kx", "__s"),
        # analytics that hand a visitor from one host to the next
        *("_ga", "_gl", "pk_campaign", "pk_kwd", "pk_keyword", "pk_source", "pk_medium", "pk_content"),
        *("pk_cid", "guce_referrer", "guce_referrer_sig"),
    }
)

_SUSPECT = re.compile(
    rf"(?:^|&)(?:{'|'.join(PREFIXES)}|(?:{'|'.join(map(re.escape, sorted(NAMES)))})(?:[=&]|$))", re.IGNORECASE
)


def without_trackers(query: str, keep: Collection[str] = ()) -> str:
    """Return the query without its tracking parameters; `keep` names (in lower case) stay.

    What is kept stays byte for byte and in its order: a server may read order and repetition, and the
    address has to remain one that the site itself has handed out.
    """
    if not _SUSPECT.search(query):
        return query
    return "&".join(part for part in query.split("&") if not _tracks(part, keep))


def _tracks(part: str, keep: Collection[str]) -> bool:
    name = part.partition("=")[0].lower()
    return (name in NAMES or name.startswith(PREFIXES)) and name not in keep
