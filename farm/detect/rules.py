"""The table of vendors' pages: each row is a set of conditions that identify one.

A row must tell a vendor's page from a page that merely uses or mentions the vendor. Most sites behind Cloudflare
load its script, many contact forms contain a captcha, and articles quote all of these sentences; so a row requires
a header that only the vendor's page has, or markup *and* a page with little other text. Every row has a test page
under `fixtures/blocks`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.model.page import Finding

SHORT = 2_000
BARE = 600
"""The most visible characters of a vendor's page, and of one that shows nothing but a task."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A page of one vendor; all given conditions must hold.

    `headers` are patterns by name. All of `markup` and none of `lacks` must occur (both in lower case). `title`
    and `words` are patterns. `below` bounds the visible text. `formless` requires that there is no other form
    field: a form that also asks for a message has another purpose than to keep visitors out.
    """

    by: str
    finding: Finding
    statuses: frozenset[int] = frozenset()
    headers: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    title: re.Pattern[str] | None = None
    words: re.Pattern[str] | None = None
    markup: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    below: int = SHORT
    formless: bool = False


def _is(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_BLOCK, _CAPTCHA, _CHALLENGE = Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE
_REFUSED = frozenset({401, 403, 405, 406, 429, 503})
_INVISIBLE = ('data-size="invisible"', "data-size='invisible'")

RULES: tuple[Rule, ...] = (
    # -- Cloudflare
    Rule("cloudflare", _CHALLENGE, headers={"cf-mitigated": _is("challenge")}, below=10_000),
    Rule("cloudflare", _CHALLENGE, markup=("_cf_chl_opt",)),
    Rule("cloudflare", _CHALLENGE, title=_is(r"^just a moment"), markup=("challenge-platform",)),
    Rule("cloudflare", _CHALLENGE, markup=('id="challenge-form"', "__cf_chl")),
    Rule(
        "cloudflare",
        _BLOCK,
        statuses=_REFUSED,
        words=_is(r"you have been blocked|error code:? ?10(05|06|07|08|09|10|12|15|20)|error 10\d\d\b"),
        markup=("cf-error-details",),
    ),
    Rule("cloudflare", _BLOCK, statuses=_REFUSED, title=_is(r"^attention required! \| cloudflare")),
    # -- Akamai
    Rule(
        "akamai",
        _BLOCK,
        statuses=_REFUSED,
        title=_is("^access denied$"),
        words=_is(r"you don.t have permission to access .{1,2000}reference\s?#"),
    ),
    Rule("akamai", _BLOCK, words=_is(r"reference\s?#"), markup=("errors.edgesuite.net",), below=BARE),
    Rule("akamai", _CHALLENGE, markup=("sec-if-cpt-container",)),
    Rule("akamai", _CHALLENGE, markup=("/_sec/cp_challenge/",), below=BARE),
    Rule("akamai", _CHALLENGE, markup=("bm-verify=", "http-equiv"), below=BARE),
    # -- DataDome
    Rule("datadome", _CAPTCHA, markup=("captcha-delivery.com", "var dd=")),
    Rule("datadome", _CAPTCHA, markup=("geo.captcha-delivery.com/captcha",), below=BARE),
    Rule("datadome", _CHALLENGE, markup=("geo.captcha-delivery.com/interstitial",), below=BARE),
    # -- PerimeterX / HUMAN
    Rule("perimeterx", _CAPTCHA, markup=('id="px-captcha"',)),
    Rule("perimeterx", _CAPTCHA, title=_is("^access to this page has been denied"), markup=("_pxappid",)),
    Rule("perimeterx", _CAPTCHA, statuses=_REFUSED, markup=("captcha.px-cdn.net",)),
    # -- Imperva
    Rule("imperva", _BLOCK, words=_is(r"incapsula incident id"), below=BARE),
    Rule("imperva", _CHALLENGE, markup=("_incapsula_resource", "swudnsai"), below=BARE),
    Rule("imperva", _BLOCK, markup=("_incapsula_resource", "incident_id"), below=BARE),
    Rule("imperva", _CHALLENGE, title=_is("^pardon our interruption"), markup=("distil",)),
    Rule("imperva", _CHALLENGE, title=_is("^pardon our interruption"), words=_is("think you were a bot")),
    # -- AWS WAF
    Rule("aws_waf", _CAPTCHA, headers={"x-amzn-waf-action": _is("captcha")}, below=10_000),
    Rule("aws_waf", _CHALLENGE, headers={"x-amzn-waf-action": _is("challenge")}, below=10_000),
    Rule("aws_waf", _CAPTCHA, markup=("gokuprops", "captcha.js")),
    Rule("aws_waf", _CHALLENGE, markup=("gokuprops", "challenge.js")),
    Rule(
        "aws_waf",
        _BLOCK,
        statuses=frozenset({403}),
        title=_is("^error: the request could not be satisfied"),
        words=_is(r"request blocked"),
    ),
    # -- Google's page, and pages with a captcha only
    Rule("google", _CAPTCHA, words=_is("unusual traffic from your computer network")),
    Rule("turnstile", _CAPTCHA, markup=('class="cf-turnstile',), below=BARE, formless=True),
    Rule("hcaptcha", _CAPTCHA, markup=('class="h-captcha',), lacks=_INVISIBLE, below=BARE, formless=True),
    Rule("recaptcha", _CAPTCHA, markup=('class="g-recaptcha',), lacks=_INVISIBLE, below=BARE, formless=True),
    # -- unknown vendors
    Rule(
        "unknown",
        _CAPTCHA,
        title=_is(r"captcha|are you (a )?(human|robot)|robot check|human verification|security check"),
        words=_is(r"(not|aren.t|are you) a (ro)?bot|(are|you.re) human|type the characters|automated access"),
        below=BARE,
    ),
    Rule(
        "unknown",
        _BLOCK,
        statuses=_REFUSED,
        words=_is(
            r"(your ip( address)?|your access|your request|you) (has|have|was|were) (been )?(blocked|banned)"
            r"|automated (requests|traffic|access|queries)|suspicious (activity|traffic)|bot (traffic|activity)"
        ),
    ),
)
