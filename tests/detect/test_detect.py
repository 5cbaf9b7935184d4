"""What is recognised on the project's own set of pages, and what is left alone."""

from collections import Counter
from dataclasses import replace

import pytest

from farm.detect import detect, rules
from farm.detect.page_features import features_of
from farm.detect.rules import RULES
from farm.model.page import Finding, RenderedPage
from fixtures.blocks import BlockPage, block_pages
from tests.detect.static import rendered, written_pages

PAGES = block_pages()
GUILTY = [page for page in PAGES if page.finding]
INNOCENT = [page for page in PAGES if not page.finding]


def confusion(found: dict[str, str]) -> str:
    """Return the matrix of what pages are against what they were taken for."""
    kinds = [*Finding, "page"]
    counts = Counter((page.finding or "page", found[page.name]) for page in PAGES)
    lines = [f"{'is / taken for':16}" + "".join(f"{kind:>12}" for kind in kinds)]
    lines += [f"{actual:16}" + "".join(f"{counts[actual, taken]:>12}" for taken in kinds) for actual in kinds]
    return "\n".join(lines)


@pytest.mark.parametrize("page", GUILTY, ids=lambda page: page.name)
def test_a_page_that_keeps_out_is_named_with_its_evidence(page: BlockPage) -> None:
    """What it is, by whom, and why that is thought."""
    found = detect(rendered(page))
    assert found is not None
    assert (found.finding, found.by) == (page.finding, page.by)
    assert found.signs


@pytest.mark.parametrize("page", INNOCENT, ids=lambda page: page.name)
def test_a_page_that_only_looks_like_it_is_left_alone(page: BlockPage) -> None:
    """An article about captchas, a contact form, a paywall, a small page."""
    assert detect(rendered(page)) is None


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: f"{number}-{RULES[number].by}")
def test_every_row_of_the_table_has_a_page(number: int) -> None:
    """A row that no page needs is a guess."""
    rule = RULES[number]
    pages = (*GUILTY, *written_pages("blocked_blind"), *written_pages("blocked_informed"))
    fitting = [page.name for page in pages if rules.signs(rule, features_of(rendered(page))) is not None]
    assert fitting, rule


def test_the_confusion_matrix_has_nothing_beside_its_diagonal(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, so that a reader sees on how many pages the claim stands."""
    found = {
        page.name: detected.finding if (detected := detect(rendered(page))) else "page" for page in PAGES
    }
    with capsys.disabled():
        print(f"\n{confusion(found)}")  # noqa: T201
    assert found == {page.name: page.finding or "page" for page in PAGES}


def test_a_long_page_is_looked_at_in_its_beginning_only() -> None:
    """The cost is bounded whatever a site sends."""
    page = RenderedPage(
        "https://a.example/", 200, {}, "text/html", html="x" * 9_000_000, text="y " * 1_000_000
    )
    look = features_of(page)
    assert len(look.markup) <= 200_000
    assert len(look.words) <= 4_000
    assert detect(page) is None


def test_an_article_with_a_vendors_markup_around_it_is_an_article() -> None:
    """The same markup as on a vendor's page, with a page's worth of text."""
    (challenge,) = [page for page in PAGES if page.name == "cloudflare_managed"]
    page = rendered(challenge)
    assert detect(page) is not None
    assert detect(replace(page, text=page.text + "A sentence of an article. " * 100)) is None


def titled(title: str) -> RenderedPage:
    """Return a small page whose heading is its title."""
    html = f"<h1>{title}</h1><p>And little else."
    return RenderedPage(
        "https://a.example/x", 200, {}, "text/html", title=title, text=f"{title}\nAnd little else.", html=html
    )


@pytest.mark.parametrize(
    "title",
    [
        *("404", "404 Not Found", "Error 404", "404 - Shop", "404: gone", "Shop | 404", "404 error"),
        *(
            "Oops! (404)",
            "HTTP 404",
            "Page not found 404",
            "404 找不到页面",
            "Fehler 404",
            "404. That's an error.",
        ),
    ],
)
def test_a_title_and_a_heading_by_the_number_of_the_error_are_a_soft_404(title: str) -> None:
    """In the forms in which sites write it."""
    found = detect(titled(title))
    assert found is not None
    assert found.finding is Finding.SOFT_404


@pytest.mark.parametrize(
    "title", ["Peugeot 404", "404 Main Street", "404-406 Main Street", "Ontario Highway 404", "Area code 404"]
)
def test_a_page_about_something_of_that_number_is_a_page(title: str) -> None:
    """A car, a house, a road."""
    assert detect(titled(title)) is None


def test_a_question_about_a_captcha_is_a_page() -> None:
    """The page itself comes with a status that refuses."""
    text = "Our systems have detected unusual traffic from your computer network. What does that mean?"
    page = replace(titled("A question"), text=text)
    assert detect(page) is None
    assert detect(replace(page, status=429)) is not None


def test_what_is_no_html_is_no_soft_failure() -> None:
    """An empty JSON answer is an answer."""
    assert detect(RenderedPage("https://a.example/x", 200, {}, "application/json", html="<script>")) is None


@pytest.mark.parametrize(
    "text",
    [
        "Your IP address has been blocked.",
        "You've been blocked by the network.",
        "The request was rejected.",
        "Access denied due to suspicious activity.",
        "We noticed unusual traffic coming from your network.",
        "Ihre IP-Adresse wurde gesperrt.",
        "Votre adresse IP a été bloquée.",
        "Su dirección IP ha sido bloqueada.",
        "Seu acesso foi bloqueado.",
        "Ваш IP-адрес заблокирован.",
        "您的访问已被拦截。",
        "自動アクセスのため、アクセスを制限しています。",
    ],
)
def test_a_refusal_of_the_visit_is_a_block_where_the_status_refuses(text: str) -> None:
    """With a status of success somebody only says so."""
    page = RenderedPage("https://a.example/x", 403, {}, "text/html", text=text, html=f"<p>{text}")
    found = detect(page)
    assert found is not None
    assert (found.finding, found.by) == (Finding.BLOCK, "unknown")
    assert detect(replace(page, status=200)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Your order was blocked because of an unusual address.",
        "Your card is blocked. We noticed suspicious activity on it.",
        "Your account has been limited. Read how we protect it from bots.",
    ],
)
def test_the_refusal_of_something_else_is_no_block(text: str) -> None:
    """Of an order, a card, an account: also with a status that refuses."""
    assert (
        detect(RenderedPage("https://a.example/x", 403, {}, "text/html", text=text, html=f"<p>{text}"))
        is None
    )


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Security check | Shop", "Please verify that you are human."),
        ("Please wait...", "Checking your browser before you enter."),
        ("Verifying your connection...", "Your connection needs to be verified before you can go on."),
        ("Robot Challenge Screen", "Complete the captcha to prove you're a human."),
        ("Sicherheitsüberprüfung", "Bitte bestätigen Sie, dass Sie kein Roboter sind."),
        ("Un instant...", "Veuillez confirmer que vous n'êtes pas un robot."),
        ("Un momento", "Confirme que es humano."),
        ("Verificação de segurança", "Confirme que você não é um robô."),
        ("Verifica di sicurezza", "Conferma di non essere un robot."),
        ("Вы не робот?", "Подтвердите, что вы не робот."),
        ("安全验证", "请完成下方验证后继续操作"),
        ("セキュリティチェック", "ロボットではないことを確認してください。"),
    ],
)
def test_a_captcha_of_an_unknown_vendor_needs_the_title_and_the_demand(title: str, text: str) -> None:
    """A title alone is had by pages that load, and a demand alone by pages that quote it."""
    page = RenderedPage(
        "https://a.example/x", 200, {}, "text/html", title=title, text=text, html=f"<p>{text}"
    )
    found = detect(page)
    assert found is not None
    assert (found.finding, found.by) == (Finding.CAPTCHA, "unknown")
    assert detect(replace(page, title=f"About the words: {title}")) is None
    assert (
        detect(replace(page, text="Twelve lamps, and a page of text about each of them, with its price."))
        is None
    )
