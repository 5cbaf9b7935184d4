"""What the benchmark of extraction declares finds its cards, by CSS and in what was fetched."""

import tomllib

import pytest

from bench.extraction import BENCH_CARD, CAPTURED, CARD, DECLARED
from farm.extract.declaration import Declaration
from farm.extract.engine import Extractor, PageContent
from farm.model.page import FetchedResponse

ANSWER = FetchedResponse(
    "http://a.example/api/x", "GET", 200, "application/json", '{"items": [{"name": "Card 5", "price": "€5"}]}'
)


@pytest.mark.parametrize("declared", [DECLARED, BENCH_CARD, CAPTURED])
def test_declarations(declared: str) -> None:
    """Each has one item of the card."""
    page = PageContent(
        "http://a.example/", "http://a.example/", CARD.format(link=1, number=5), responses=[ANSWER]
    )
    found = Extractor(Declaration.model_validate(tomllib.loads(declared))).read(page)
    assert [item["name"] for _, item in found.items] == ["Card 5"]
