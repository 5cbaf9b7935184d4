"""The farm's own fetches by proxies, and what the pool learns from the list and from the other nodes."""

from collections.abc import Mapping, Sequence

import pytest

from farm.model.egress import Ban, EgressFailure, EgressFault, Fetched, FetchFailed
from farm.model.outcome import FailureKind
from farm.policy.proxies import Health, Outcome, ProxyState, Rotation
from farm.runtime import proxy_pool
from farm.runtime.egress_route import ProxiedFetch, ProxyRoute
from farm.runtime.proxy_pool import ProxyParams, ProxyPool
from tests.clock import ManualClock

SITE = "shop.example"


def pool(*labels: str) -> ProxyPool:
    """Return a pool of these proxies."""
    return ProxyPool(labels, ProxyParams(), lambda _: None, ManualClock())


@pytest.mark.parametrize(
    ("got", "good"),
    [
        (Fetched("http://shop.example/robots.txt", 500, {}, b""), True),
        (FetchFailed(FailureKind.NETWORK, "refused"), True),
        (FetchFailed(FailureKind.NETWORK, "no", EgressFailure(EgressFault.UPSTREAM, "no")), False),
    ],
)
async def test_the_farms_own_fetches_judge_their_proxy_by_its_own_faults(
    got: Fetched | FetchFailed, good: bool
) -> None:
    """What the site does says nothing about a proxy; in between the proxy has no user."""
    proxies, by = pool("a"), []

    async def fetch(label: str | None, url: str, cap_bytes: int, take: object) -> Fetched | FetchFailed:
        by.append((label, url, cap_bytes, take))
        return got

    proxied = ProxiedFetch(proxies, fetch)
    for _ in range(4):
        assert await proxied(f"http://{SITE}/robots.txt", 7) is got
    assert by[0] == ("a", f"http://{SITE}/robots.txt", 7, None)
    assert proxies.usable("a", SITE, "s") is good
    # A proxy that is banned is not used, and without a usable one any is, rather than none.
    assert by[-1][0] == ("a" if good else None)


async def test_the_pool_follows_the_list_and_the_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each second, the list first: a ban may be of a proxy that is new in it."""
    monkeypatch.setattr(proxy_pool, "EVERY_S", 0.0)
    proxies, told = pool("a", "b"), []

    class Listed:
        upstreams: Mapping[str, object] = {"b": 0, "c": 0}

        def refresh(self) -> bool:
            return True

    class Shared:
        async def exchange(self, news: Sequence[Ban], /, *, anew: bool = False) -> Sequence[Ban]:
            assert anew, "the list is new"
            told.append(news)
            if len(told) > 1:
                raise EOFError
            return [Ban("c", None, 60.0, 1)]

    for number in range(4):
        proxies.report("a", f"{number}", SITE, Outcome.BLOCKED, None)
    with pytest.raises(EOFError):
        await proxies.follow(Listed(), Shared())
    assert [label for label in "abc" if proxies.usable(label, None, "s")] == ["b"]
    assert ({ban.proxy for ban in told[0]}, told[1]) == ({"a"}, ())


@pytest.mark.parametrize("rotation", Rotation)
def test_of_very_many_proxies_only_those_that_failed_are_judged(
    monkeypatch: pytest.MonkeyPatch, rotation: Rotation
) -> None:
    """Each page chooses among all of them: judging thousands would take the event loop milliseconds."""
    proxies, judged = pool(*(f"p{number}" for number in range(500))), list[Health]()
    proxies.params = ProxyParams(rotation)
    of_health = Health.state

    def state(health: Health, now: float) -> ProxyState:
        judged.append(health)
        return of_health(health, now)

    monkeypatch.setattr(Health, "state", state)
    for slot in ("one", "two"):
        route = ProxyRoute(slot, proxies, lambda _: None)
        for number in range(3):
            assert route.acquire(SITE)
            assert route.acquire_for(SITE) is None
            route.report(f"{slot} {number}", SITE, Outcome.GOOD, 50)
    assert len(judged) <= 2 * 6, "those that have served a page, by what it says of them"
