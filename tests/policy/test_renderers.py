"""By which renderer a URL is visited, as the user has said it."""

from dataclasses import replace

import pytest

from farm.model.page import Renderer
from farm.model.task import UrlTask
from farm.policy.renderers import RendererRules, RenderMode, SiteRenderers

AUTO, BROWSER, LIGHT, FETCH = RenderMode
RULES = RendererRules(
    BROWSER,
    {
        "shop.example": SiteRenderers(FETCH, [("/product/*", LIGHT), ("/product/1*", BROWSER)]),
        "*.shop.example": SiteRenderers(LIGHT),
        "a.example": SiteRenderers(None, [("/x", FETCH)]),
    },
)


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("https://shop.example/", FETCH),
        ("https://shop.example/product/12?x=1", LIGHT),
        ("https://shop.example/list?u=/product/1", FETCH),
        ("https://www.shop.example/", LIGHT),
        ("https://a.example/x?y", FETCH),
        ("https://a.example/x/y", BROWSER),
        ("https://other.example/product/1", BROWSER),
    ],
)
def test_the_most_special_rule_counts(url: str, mode: RenderMode) -> None:
    """Of the paths of a site the first that matches, else what is said of the site, else what is of all."""
    assert RULES.of(url) is mode


def test_what_may_be_needed_is_known_before_a_page_is() -> None:
    """So that nothing is started that no page is visited by."""
    assert RULES.named == {*Renderer}
    assert RendererRules(FETCH, {"a.example": SiteRenderers(FETCH)}).named == {Renderer.FETCH}
    by_site = RendererRules(FETCH, {"a.example": SiteRenderers(None, [("/x", BROWSER)])})
    assert by_site.named == {Renderer.FETCH, Renderer.BROWSER}
    cheap = (Renderer.FETCH,)
    assert RendererRules(AUTO, cheap=cheap).named == {Renderer.FETCH, Renderer.BROWSER}
    assert RendererRules(BROWSER, cheap=cheap).named == {Renderer.BROWSER}
    assert RendererRules(FETCH, {"a.example": SiteRenderers(AUTO)}).named == {
        Renderer.FETCH,
        Renderer.BROWSER,
    }


def test_what_is_said_of_one_url_counts_before_its_site() -> None:
    """What seeds ask for is started too."""
    task = UrlTask("https://shop.example/product/12", "shop.example", "1")
    assert RULES.of_task(task) is LIGHT
    assert RULES.of_task(replace(task, render="auto")) is AUTO
    rules = RendererRules(BROWSER, cheap=(Renderer.FETCH,), asked=frozenset({FETCH}))
    assert rules.named == {Renderer.BROWSER, Renderer.FETCH}
    assert RendererRules(FETCH, asked=frozenset({LIGHT})).modes == {FETCH, LIGHT}
