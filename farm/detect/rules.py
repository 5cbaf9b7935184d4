"""The block pages of vendors: a table, of which the first row that matches names the vendor.

A row must distinguish a vendor's page from a page that merely uses or mentions the vendor. Most sites behind
Cloudflare load its script, many contact forms contain a captcha, and articles quote all of these sentences; so a
row requires a header that only the vendor's page has, or markup *and* a page with little other text. Every row has
a test page, under `fixtures/blocks` or in `tests/detect/pages`.

A row without a vendor matches what the page says about this visit: "verify that you are human" addresses a
visitor, while "suspicious activity" may also address the customers of a bank. Such a row also requires a status
that refuses, or a title that consists only of the demand.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farm.detect.page_features import LONGEST_SIGN, PageFeatures, tags
from farm.model.page import Detection, Finding

SHORT = 2_000
BARE = 600
EMPTY = 60
"""The visible characters of a vendor's page, of one that shows nothing but a task, and of one whose task is in a
frame, are fewer than these."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A page of one vendor; all given conditions must hold.

    `headers` are patterns by name. All of `markup` and none of `lacks` must occur (both in lower case). `title`
    is a pattern; so is `words`, for text in lower case. `below` bounds the visible text. `formless` requires that
    there is no other form field: a form that also asks for a message does not exist to keep visitors out.
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
# A captcha that a press of a button asks for is invisible too.
_BOUND = ('<button class="g-recaptcha', '<button class="h-captcha', "data-action=")
_OF_A_SITE = ("<nav", "<article")
"""Markup that a page with only a captcha does not have."""

# What follows the bar is the name of the site.
_NOTHING_ELSE = r"\W*($|\|)"
_PROOF = (
    r"verify (that )?you.?( a)?re (a )?human|are you (a )?(human|robot)|robot or human|robot check"
    r"|(human|(ro)?bot) (verification|challenge)( screen| page)?|making sure you.?( a)?re not a (ro)?bot|captcha"
    r"|sind sie ein (mensch|roboter)"
    r"|(êtes|etes)-vous un (humain|robot)|¿?(es|eres) un robot|você é (humano|um robô)|вы не робот"
    r"|(百度|人机|安全)*(安全验证|人机验证|验证码)|请.{0,10}验证"
)
_PROOF_TITLE = _is(rf"^\W*({_PROOF}){_NOTHING_ELSE}")
"""A title that demands a proof that the visitor is human, and consists of nothing else."""
_DEMAND_TITLE = _is(
    rf"^\W*({_PROOF}|just a moment|one moment,? please|please wait|one more step|pardon our interruption"
    r"|client challenge|attention required|(checking|verifying) your (browser|connection)"
    r"|(browser|security|site) (verification|check(point)?)"
    r"|nur einen moment|einen moment,? bitte|sicherheits(prüfung|überprüfung|abfrage)"
    r"|un instant|vérification de sécurité|un momento|verificación de seguridad"
    r"|um momento|verificação de segurança|verifica di sicurezza|проверка (безопасности|браузера)"
    rf"|セキュリティ(チェック|確認)){_NOTHING_ELSE}"
)
"""A title of a page that checks its visitor; other pages have some of them too."""

_DEMAND = re.compile(
    r"(verify|verifying|confirm|prove|make sure|making sure|check|checking)( that| if| whether)? you( a|.)re"
    r"( really)?( not)? (a |an )?(human|(ro)?bot|person)"
    r"|(not|aren.t|are you) a (ro)?bot\b|type the characters|enter the characters you see|automated access"
    r"|(request|browser|connection) (is being|needs to be) (verified|checked)"
    r"|(verifying|checking) your (browser|request|connection) (before|to)"
    r"|review the security of your connection|complete the (security check|captcha|challenge)"
    r"|press (&|and) hold to confirm"
    r"|(bestätigen|beweisen|zeigen) sie,? dass sie (ein mensch|kein (ro)?bot)"
    r"|(confirm|vérifi|prouv)(er|ez) que vous (êtes|n.êtes pas) (bien )?(un )?(humain|robot)"
    r"|(confirme|verifique|verificar|verificando) que (usted )?(no )?(es|eres) (un )?(ser )?(humano|robot)"
    r"|(confirme|verifique|verificar|prove) que (você )?(não )?é (um )?(ser )?(humano|robô)"
    r"|(conferma|verifica) di (non )?essere (un )?(essere )?(umano|robot)"
    r"|(подтвердите|докажите), что (вы не робот|запросы отправляли вы)"
    r"|请(先)?(完成|进行|通过|拖动)[^。]{0,20}(验证|滑块)|(ロボット|人間)で(はない|ない|ある)こと(を|の)確認"
)
"""The demands of such a page."""

_REFUSAL = re.compile(
    r"((your ip( address)?|your (access|request|browser|connection)|you|(this|the) request) (has|have|was|were|is)"
    r"|you.ve)( been)?( temporarily)? (blocked|banned|limited|rejected)"
    r"|(automated|bot) (requests|traffic|access|queries|activity)"
    r"|(suspicious|unusual|malicious|abnormal) (activity|traffic|requests|behaviou?r)"
    r"( (coming|originating))? from (your|this)"
    r"|(denied|blocked|refused|restricted|limited) (due to|because of) (\w{1,20} ){0,2}"
    r"(suspicious|unusual|malicious|abnormal) (activity|traffic|requests|behaviou?r)"
    r"|ihre (ip(-adresse)?|anfrage|anfragen) (wurde|wurden|ist) (gesperrt|blockiert)"
    r"|votre (adresse ip|accès|requête) a été bloquée?"
    r"|(su|sua|seu) (ip|dirección ip|endereço ip|acceso|acesso|solicitud|solicitação) (ha sido|foi) bloquead[oa]"
    r"|ваш ip(-адрес)? (был )?заблокирован|您的(ip|访问|请求)[^。]{0,10}(阻断|拦截|封禁|禁止)"
    r"|アクセスを?(制限|拒否|遮断)(して|され)"
)
"""Texts that refuse this visit, not an order or an account."""

RULES: tuple[Rule, ...] = (
    # -- Cloudflare
    Rule("cloudflare", _CHALLENGE, headers={"cf-mitigated": _is("challenge")}, below=10_000),
    Rule("cloudflare", _CHALLENGE, markup=("_cf_chl_opt",)),
    Rule("cloudflare", _CHALLENGE, title=_is(r"^just a moment"), markup=("challenge-platform",)),
    Rule("cloudflare", _CHALLENGE, markup=('id="challenge-form"', "__cf_chl")),
    Rule("cloudflare", _CHALLENGE, markup=("/cdn-cgi/challenge-platform/", "/orchestrate/"), below=BARE),
    Rule(
        "cloudflare",
        _BLOCK,
        statuses=_REFUSED,
        words=re.compile(
            r"you have been blocked|error code:? ?10(05|06|07|08|09|10|12|15|20)|error 10\d\d\b"
        ),
        markup=("cf-error-details",),
    ),
    Rule("cloudflare", _BLOCK, statuses=_REFUSED, title=_is(r"^attention required! \| cloudflare")),
    Rule("cloudflare", _BLOCK, statuses=_REFUSED, title=_is(r"\bused cloudflare to restrict access$")),
    Rule("cloudflare", _BLOCK, statuses=_REFUSED, words=re.compile(r"^error code: 10\d\d$"), below=BARE),
    # -- Akamai
    Rule(
        "akamai",
        _BLOCK,
        statuses=_REFUSED,
        title=_is(r"^access denied\b"),
        words=re.compile(r"you don.t have permission to access .{1,2000}reference\s?#"),
    ),
    Rule("akamai", _BLOCK, words=re.compile(r"reference\s?#"), markup=("errors.edgesuite.net",), below=BARE),
    Rule("akamai", _CHALLENGE, markup=("sec-if-cpt-container",)),
    Rule("akamai", _CHALLENGE, markup=("/_sec/cp_challenge/",), below=BARE),
    Rule("akamai", _CHALLENGE, markup=("bm-verify=", "http-equiv"), below=BARE),
    # -- DataDome
    Rule("datadome", _CHALLENGE, markup=("ct.captcha-delivery.com/i.js",), below=BARE),
    Rule("datadome", _CAPTCHA, markup=("ct.captcha-delivery.com/c.js",), below=BARE),
    # The answer to a request of a script, which is JSON.
    Rule(
        "datadome", _CAPTCHA, words=re.compile(r'^\{"url": ?"https://geo\.captcha-delivery\.com/'), below=BARE
    ),
    Rule("datadome", _CAPTCHA, markup=("captcha-delivery.com", "var dd=")),
    Rule("datadome", _CAPTCHA, markup=("geo.captcha-delivery.com/captcha",), below=BARE),
    Rule("datadome", _CHALLENGE, markup=("geo.captcha-delivery.com/interstitial",), below=BARE),
    # -- PerimeterX / HUMAN
    Rule("perimeterx", _CAPTCHA, markup=('id="px-captcha"',)),
    Rule("perimeterx", _CAPTCHA, title=_is("^access to this page has been denied"), markup=("_pxappid",)),
    Rule("perimeterx", _CAPTCHA, statuses=_REFUSED, markup=("captcha.px-cdn.net",)),
    # -- Imperva
    Rule("imperva", _BLOCK, words=re.compile("incapsula incident id"), below=BARE),
    Rule("imperva", _CHALLENGE, markup=("_incapsula_resource", "swudnsai"), below=BARE),
    Rule("imperva", _BLOCK, markup=("_incapsula_resource", "incident_id"), below=BARE),
    # The script alone is also on ordinary pages, but those have something to show.
    Rule("imperva", _CHALLENGE, markup=("_incapsula_resource?swjiylwa", "noindex"), lacks=("<img",), below=1),
    Rule(
        "imperva",
        _BLOCK,
        words=re.compile("request was blocked by (our|the) security (rules|service).{0,400}incident id"),
        below=BARE,
    ),
    Rule("imperva", _CHALLENGE, title=_is("^pardon our interruption"), markup=("distil",)),
    Rule(
        "imperva",
        _CHALLENGE,
        title=_is("^pardon our interruption"),
        words=re.compile("think you were a bot"),
    ),
    # -- AWS WAF
    Rule("aws_waf", _CAPTCHA, headers={"x-amzn-waf-action": _is("captcha")}, below=10_000),
    Rule("aws_waf", _CHALLENGE, headers={"x-amzn-waf-action": _is("challenge")}, below=10_000),
    Rule("aws_waf", _CAPTCHA, markup=("gokuprops", "captcha.js"), below=BARE),
    Rule("aws_waf", _CHALLENGE, markup=("gokuprops", "challenge.js"), below=BARE),
    Rule("aws_waf", _CHALLENGE, markup=("awswafintegration", "challenge-container"), below=BARE),
    Rule(
        "aws_waf",
        _BLOCK,
        statuses=frozenset({403}),
        title=_is("^error: the request could not be satisfied"),
        words=re.compile("request blocked"),
    ),
    # -- vendors with few forms
    Rule("kasada", _CHALLENGE, markup=("window.kpsdk={}", "/ips.js?"), below=BARE),
    Rule("f5", _BLOCK, title=_is("^request rejected$"), words=re.compile(r"\bsupport id\b"), below=BARE),
    Rule("f5", _CHALLENGE, markup=('window["bobcmn"]', "/tspd/"), below=BARE),
    Rule("sucuri", _BLOCK, headers={"x-sucuri-block": _is(".")}, below=10_000),
    Rule("sucuri", _BLOCK, statuses=_REFUSED, title=_is("^sucuri website firewall - access denied")),
    Rule("sucuri", _CHALLENGE, markup=("sucuri_cloudproxy_js",), below=BARE),
    Rule("wordfence", _BLOCK, statuses=_REFUSED, words=re.compile("generated by wordfence at")),
    Rule("ddos_guard", _CHALLENGE, markup=("/.well-known/ddos-guard/js-challenge",), below=BARE),
    Rule("ddos_guard", _CAPTCHA, markup=("/.well-known/ddos-guard/ddg-captcha-page",), below=BARE),
    Rule(
        "stackpath",
        _CHALLENGE,
        words=re.compile(
            r"protection against online attacks\. this process is automatic.{0,200}reference id"
        ),
        below=BARE,
    ),
    Rule(
        "stackpath",
        _BLOCK,
        words=re.compile(r"protection against online attacks\. an action has triggered.{0,400}reference id"),
        below=BARE,
    ),
    Rule("fastly", _CHALLENGE, markup=('src="/_fs-ch-',), lacks=_OF_A_SITE, below=BARE),
    Rule("vercel", _CHALLENGE, headers={"x-vercel-mitigated": _is("challenge")}, below=10_000),
    Rule("vercel", _CHALLENGE, title=_is("^vercel security checkpoint$"), below=BARE),
    Rule("modsecurity", _BLOCK, statuses=_REFUSED, words=re.compile("error was generated by mod_security")),
    Rule("fortiweb", _BLOCK, title=_is("^web page blocked"), words=re.compile(r"\battack id\b"), below=BARE),
    Rule("anubis", _CHALLENGE, markup=('id="anubis_challenge"',)),
    # -- pages of single sites
    Rule("amazon", _CAPTCHA, markup=("/errors/validatecaptcha",), below=BARE),
    Rule("yandex", _CAPTCHA, headers={"x-yandex-captcha": _is("captcha")}, below=10_000),
    Rule("yandex", _CAPTCHA, markup=("/checkcaptcha?key=",), below=BARE),
    Rule(
        "google",
        _CAPTCHA,
        statuses=_REFUSED,
        words=re.compile("unusual traffic from your computer network"),
    ),
    # -- a captcha and nothing else
    Rule("turnstile", _CAPTCHA, markup=('class="cf-turnstile',), lacks=_OF_A_SITE, below=BARE, formless=True),
    Rule(
        "hcaptcha",
        _CAPTCHA,
        markup=('class="h-captcha',),
        lacks=(*_INVISIBLE, *_BOUND, *_OF_A_SITE),
        below=BARE,
        formless=True,
    ),
    Rule(
        "recaptcha",
        _CAPTCHA,
        markup=('class="g-recaptcha',),
        lacks=(*_INVISIBLE, *_BOUND, *_OF_A_SITE),
        below=BARE,
        formless=True,
    ),
    # -- unknown vendors
    # The task is in a frame of another site, whose text is not this page's.
    Rule("unknown", _CAPTCHA, title=_PROOF_TITLE, markup=("<script",), lacks=_OF_A_SITE, below=EMPTY),
    Rule("unknown", _CAPTCHA, title=_DEMAND_TITLE, words=_DEMAND, below=BARE),
    Rule("unknown", _CAPTCHA, statuses=_REFUSED, words=_DEMAND, below=BARE),
    Rule("unknown", _BLOCK, statuses=_REFUSED, words=_REFUSAL),
)

_FIELD = re.compile(r"<(?:textarea|input)[^>]*")
_TEXT_TYPE = re.compile(r"type=[\"']?(?:text|email|tel|search|password)\b")
# The answer field of a captcha is not a form field.
_ANSWER = "-response"
# Most pages have more text than most rows allow, so that only the rest is looked at: the rows that allow `bound`.
_BY_BOUND = tuple(
    (bound, tuple(rule for rule in RULES if rule.below >= bound))
    for bound in sorted({rule.below for rule in RULES})
)


def find(page: PageFeatures) -> Detection | None:
    """Return the detection of the first matching row; None if no row matches."""
    for rule in next((rules for bound, rules in _BY_BOUND if page.text_chars < bound), ()):
        fitting = signs(rule, page)
        if fitting is not None:
            return Detection(rule.finding, rule.by, fitting)
    return None


def signs(rule: Rule, page: PageFeatures) -> tuple[str, ...] | None:
    """Return the evidence if all conditions of the rule hold, else None. Cheap conditions come first."""
    if page.text_chars >= rule.below or (rule.statuses and page.status not in rule.statuses):
        return None
    evidence = []
    for holds, sign in _conditions(rule, page):
        if not holds:
            return None
        evidence.append(sign[:LONGEST_SIGN])
    return tuple(evidence)


def _conditions(rule: Rule, page: PageFeatures) -> Iterator[tuple[bool, str]]:
    if rule.statuses:
        yield True, f"status {page.status}"
    for name, pattern in rule.headers.items():
        value = page.headers.get(name, "")
        yield pattern.search(value) is not None, f"header {name}: {value}"
    if rule.title is not None:
        found = rule.title.search(page.title)
        yield found is not None, f"title: {found[0]}" if found else ""
    for mark in rule.markup:
        # Markup that appears in the visible text is quoted, not in use.
        yield mark in page.markup and mark not in page.words, f"markup: {mark}"
    if rule.words is not None:
        found = rule.words.search(page.words)
        yield found is not None, f"text: {found[0]}" if found else ""
    for mark in rule.lacks:
        yield mark not in page.markup, f"no {mark}"
    if rule.formless:
        yield (
            not any(map(_is_to_fill_in, tags(_FIELD, page.markup))),
            f"nothing else but {page.text_chars} characters of text",
        )


def _is_to_fill_in(tag: str) -> bool:
    if tag.startswith("<textarea"):
        return _ANSWER not in tag
    return _TEXT_TYPE.search(tag) is not None
