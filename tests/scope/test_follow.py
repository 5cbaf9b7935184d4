"""Links that the user's code follows: the scope does not apply to them, robots.txt and the depth do."""

import asyncio

from farm.model.handling import FollowedLink
from farm.model.outcome import RedirectOutcome, SkipReason
from farm.model.page import RenderedPage
from farm.model.task import UrlTask
from farm.model.url import fingerprint
from farm.scope.links import LinkSorter, RedirectPolicy
from farm.scope.rules import ScopeRules
from tests.longest_turn import MeasuredLoop

KEY = b"k" * 16
HOME = UrlTask("https://a.example/", "a.example", "1", depth=1)
RULES = ScopeRules("host", [HOME.url], exclude=["private"], depth=2)


async def test_a_link_goes_wherever_it_leads_with_all_that_goes_along() -> None:
    """Neither the kind of the scope nor its patterns apply; of two to one address the first counts."""
    links = [
        FollowedLink("https://B.example/private#top", "product", 3, {"n": 1}, "fetch"),
        FollowedLink("https://b.example/private", "other", -5),
        FollowedLink("https://a.example/x"),
    ]
    tasks, skips = await LinkSorter(RULES, KEY).follow(links, HOME)
    first, second = "https://b.example/private", "https://a.example/x"
    assert list(tasks) == [
        UrlTask(
            first, "b.example", fingerprint(first, KEY), 2, 8, HOME.url, {"n": 1}, "product", render="fetch"
        ),
        UrlTask(second, "a.example", fingerprint(second, KEY), 2, 5, HOME.url, {}, ""),
    ]
    assert skips == ()


async def test_what_cannot_be_visited_is_skipped_with_its_reason() -> None:
    """A scheme that is not of the web, robots.txt, and the depth."""
    sorter = LinkSorter(RULES, KEY, forbidden=lambda url: "closed" in url)
    links = [FollowedLink("mailto:a@a.example"), FollowedLink("https://b.example/closed")]
    tasks, skips = await sorter.follow(links, HOME)
    assert list(tasks) == []
    assert [one.reason for one in skips] == [SkipReason.SCHEME, SkipReason.ROBOTS]
    deeper = UrlTask(HOME.url, HOME.site, "1", depth=2)
    tasks, skips = await sorter.follow([FollowedLink("https://b.example/")], deeper)
    assert (list(tasks), [one.reason for one in skips]) == ([], [SkipReason.DEPTH])


def test_the_loop_runs_while_ten_thousand_links_are_judged() -> None:
    """Each is nearly as long as an address may be."""
    links = [FollowedLink(f"https://b.example/{number}?{'x' * 1_500}") for number in range(10_000)]

    async def follow() -> MeasuredLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MeasuredLoop)
        loop.forget()
        tasks, _ = await LinkSorter(RULES, KEY).follow(links, HOME)
        await asyncio.sleep(0)
        assert len(tasks) == len(links)
        return loop

    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        runner.run(follow()).assert_short()


def test_a_followed_link_may_be_redirected_anywhere() -> None:
    """As a seed's scope is asked of links that are found; of the seeds themselves their site is."""
    policy = RedirectPolicy(RULES, LinkSorter(RULES, KEY))
    final = "https://c.example/"
    found = RenderedPage(final, 200, {}, "text/html", redirects=("https://b.example/",))
    task = UrlTask("https://b.example/", "b.example", "1", depth=1)
    followed = UrlTask("https://b.example/", "b.example", "1", depth=1, label="")
    assert policy.judge(task, found).skip is SkipReason.OUT_OF_SCOPE
    assert policy.judge(followed, found) == RedirectOutcome((fingerprint(final, KEY),))
