"""Templates of addresses: what differs between pages of one kind is folded, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.policy.url_template import template_of


@pytest.mark.parametrize(
    ("url", "template"),
    [
        ("https://a.example/", "a.example/"),
        ("https://a.example/product/17", "a.example/product/#"),
        ("https://a.example/product/lamp-17", "a.example/product/lamp-#"),
        ("https://a.example/product/blue-lamp", "a.example/product/*"),
        ("https://a.example/2024/05/news", "a.example/#/#/*"),
        ("https://a.example/list?sort=up&page=2", "a.example/*?page&sort"),
        ("https://a.example:8080/x/?q=1", "a.example:8080/x/?q"),
        ("https://a.example/u/9f86d081884c7d65/posts/7", "a.example/u/*/posts/#"),
        ("https://a.example/o/3e4666bf-d5e5-4aa7-b8ce-cefe41c7568a/", "a.example/o/*/"),
        ("https://a.example/spring-2026-sale-10/x1", "a.example/spring-#-sale-#/x#"),
        ("https://a.example/v/dQw4w9WgXc8Q", "a.example/v/*"),
    ],
)
def test_a_family_differs_in_numbers_last_words_and_values(url: str, template: str) -> None:
    """And in nothing else."""
    assert template_of(url) == template


@given(st.text(max_size=200))
def test_any_address_has_a_template_of_its_own_site(path: str) -> None:
    """Whatever stands in it."""
    assert template_of(f"https://a.example/{path}").startswith("a.example/")
