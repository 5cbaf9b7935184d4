"""What an engine says that a page has got the better of: what has no known form is nothing, and ends one visit."""

from typing import Any, cast

import pytest

from farm.light.documents import VisitedDocuments
from farm.light.tab import LightTab
from farm.model.errors import SlotLost

ODD: list[Any] = [
    None,
    1,
    "x",
    [],
    {},
    {"url": 1, "status": "200", "headers": {}},
    {"status": 200, "headers": []},
]
CONTEXT = {"executionContextId": 1}


@pytest.mark.parametrize("part", ODD)
def test_an_event_of_no_known_form_is_none(part: Any) -> None:
    """Whatever stands in the place of its parts."""
    documents = VisitedDocuments("f")
    head = {"type": "Document", "frameId": "f", "loaderId": "1", "requestId": "1"}
    for again in range(2):
        request = {"url": "http://a.example/"} if again else part
        documents.asked({**head, "request": request, "redirectResponse": part})
        documents.answered({**head, "response": part})
        documents.shown({"frame": part})
        documents.failed({"requestId": part, "errorText": part})
    documents.shown({"frame": {"id": "f", "loaderId": "1"}})
    assert documents.way() == (None, ())
    assert documents.last is not None
    assert documents.last.urls == ["http://a.example/"]


class Saying:
    """A connection that answers in turn."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)

    async def call(self, method: str, deadline_s: float, session: str = "", **params: Any) -> dict[str, Any]:
        """Say the next."""
        return self._answers.pop(0)


@pytest.mark.parametrize(
    "answers",
    [
        ({},),
        ({"executionContextId": "1"},),
        (CONTEXT, {"exceptionDetails": []}),
        (CONTEXT, {"exceptionDetails": {"exception": 1}}),
    ],
)
async def test_an_answer_of_no_known_form_costs_its_tab(answers: tuple[dict[str, Any], ...]) -> None:
    """And no more: the farm goes on."""
    tab = LightTab(cast("Any", None), cast("Any", Saying(*answers)), "")
    with pytest.raises(SlotLost):
        await tab._evaluated("1", 1.0)


async def test_an_answer_without_a_value_has_none() -> None:
    """As where the page has gone on."""
    tab = LightTab(cast("Any", None), cast("Any", Saying(CONTEXT, {"result": []})), "")
    assert await tab._evaluated("1", 1.0) is None
