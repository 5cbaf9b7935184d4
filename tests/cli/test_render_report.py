"""`farm render-report`: what is learnt of each template, and how its pages differ."""

import json

from farm.frontier.frontier import RedisFrontier
from farm.model.outcome import Ack
from farm.model.page import Renderer
from farm.model.task import Lease, LeaseRequest
from farm.model.tiers import Evidence, TierNote, TierNotes
from tests.cli.outside import Outside


def visit(outside: Outside, template: str, evidence: Evidence, example: str = "") -> None:
    """Visit one page of the crawl, with what it shows of plain HTTP."""

    async def visited(frontier: RedisFrontier) -> None:
        lease = await frontier.lease(LeaseRequest("n/1", f"{template} {evidence}"))
        assert isinstance(lease, Lease)
        note = TierNote(Renderer.FETCH, evidence, share=50, example=example)
        await frontier.ack(lease, Ack(tiers=TierNotes(template, (note,))))

    outside.frontier(visited)


def test_templates_are_told_with_their_differences_first(outside: Outside) -> None:
    """For people and as JSON; texts from outside are escaped, and one site can be requested."""
    assert "nothing is learnt yet" in outside.farm("render-report").out
    visit(outside, "a.example/p/#", Evidence.TAKEN)
    visit(outside, "a.example/q/*", Evidence.DIFFERED, "title: 'A\x1b[31m' in place of 'B'")
    told = json.loads(outside.farm("render-report", "--json").out)
    assert [one["template"] for one in told["templates"]] == ["a.example/q/*", "a.example/p/#"]
    first, second = (one["renderers"]["fetch"] for one in told["templates"])
    assert (first["stage"], first["failures"], second["taken"]) == ("learning", 1, 1)
    assert first["examples"][0].endswith("title: 'A\x1b[31m' in place of 'B'")
    assert first["differed_at"] is not None
    assert (told["pages"], told["audits"], told["differed"]) == ({"browser": 1, "fetch": 1}, 1, 1)
    shown = outside.farm("render-report").out
    assert "1 audits, 1 differed; at most 1 page of 1 may differ (95% confidence)" in shown
    assert "\x1b[31m" not in shown
    assert "by fetch" in outside.farm("status").out
    assert json.loads(outside.farm("render-report", "--json", "--site", "other").out)["templates"] == []
