"""Which pages show that a session is over: those that lack its mark, but not for ever."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from farm.model.clock import SystemClock
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.runtime.ports import SharedCache, Slot
from farm.runtime.site_login import FALSE_ALARMS, Seal, SiteLogin

SITE = "shop.example"


@dataclass
class Named:
    """What is asked of a slot here."""

    name: str


@dataclass
class Steps:
    """A login that is not carried out."""

    url: str = "https://shop.example/login"

    async def run(self, page: Any) -> dict[str, Any]:
        """Not called."""
        raise AssertionError


def judged(login: SiteLogin, path: str, page: RenderedPage, version: str = "1") -> bool:
    """Return whether a page that a slot with this session met shows that it is over."""
    slot = cast("Slot", Named("01"))
    login._session, login._used = (version, {}), {"01": version}
    url = f"https://{SITE}{path}"
    return login.has_ended(Lease(UrlTask(url, SITE, path), "01", 1), slot, page)


def page(*, marked: bool | None, status: int = 200, path: str = "/a") -> RenderedPage:
    """Return a page with the mark of a session or without; None if there is no document."""
    return RenderedPage(f"https://{SITE}{path}", status, {}, "text/html", logged_in=marked)


@pytest.fixture
def login() -> SiteLogin:
    """Return a login that has neither Redis nor a browser, which judging does not need."""

    async def block(site: str, for_s: float) -> None:
        raise AssertionError

    return SiteLogin(Steps(), cast("SharedCache", None), cast("Seal", None), block, SystemClock())


@pytest.mark.parametrize(
    ("met", "is_over"),
    [
        (page(marked=True), False),
        (page(marked=False), True),
        (page(marked=None), False),
        (page(marked=True, status=401), True),
        (page(marked=None, status=403), True),
        (page(marked=True, status=404), False),
        (page(marked=True, path="/login"), True),
    ],
)
def test_a_page_shows_whether_its_session_lives(
    login: SiteLogin, met: RenderedPage, *, is_over: bool
) -> None:
    """By its mark, by its status, or by where it leads."""
    assert judged(login, "/a", met) is is_over
    assert (login.state_for(f"https://{SITE}/b") is None) is is_over


def test_a_page_without_the_mark_is_kept_right_after_a_login(login: SiteLogin) -> None:
    """It is the page then; after several such pages the mark counts no more."""
    for number in range(FALSE_ALARMS):
        path = f"/{number}"
        assert judged(login, path, page(marked=False), version=f"{number}a")
        assert not judged(login, path, page(marked=False), version=f"{number}b")
    assert not judged(login, "/more", page(marked=False), version="c")
    assert judged(login, "/more", page(marked=False, status=403), version="c")


def test_the_login_itself_may_be_a_page(login: SiteLogin) -> None:
    """Where a link leads to it, it is what it is."""
    assert not judged(login, "/login", page(marked=True, path="/login"))


def test_refusals_cost_no_more_than_a_few_logins(login: SiteLogin) -> None:
    """A site may keep parts of itself from everybody."""
    for number in range(FALSE_ALARMS):
        path = f"/{number}"
        assert judged(login, path, page(marked=True, status=403), version=f"{number}a")
        assert not judged(login, path, page(marked=True, status=403), version=f"{number}b")
    assert not judged(login, "/more", page(marked=True, status=403), version="c")
    assert judged(login, "/more", page(marked=False, status=403), version="c")


def test_a_session_that_another_slot_found_over_is_not_ended_twice(login: SiteLogin) -> None:
    """A page of the session before says nothing of the new one."""
    assert judged(login, "/a", page(marked=False), version="1")
    login._session, login._used = ("2", {}), {"01": "1"}
    lease = Lease(UrlTask(f"https://{SITE}/b", SITE, "/b"), "01", 1)
    assert login.has_ended(lease, cast("Slot", Named("01")), page(marked=False))
    assert login.state_for(f"https://{SITE}/b") == {}


@pytest.mark.parametrize(
    ("path", "is_left"),
    [
        ("/logout", True),
        ("/user/sign-out?x", True),
        ("/wp-login.php?action=logout&nonce=1", True),
        ("/w/index.php?title=Special:UserLogout", True),
        ("/?logout", True),
        ("/blog/outlook", False),
        ("/login?next=/a", False),
        ("/catalogue?about=sign+of+life", False),
    ],
)
def test_nobody_logs_out(login: SiteLogin, path: str, *, is_left: bool) -> None:
    """On the site of the login; what others call so is theirs."""
    assert login.leads_out(UrlTask(f"https://{SITE}{path}", SITE, "1")) is is_left
    assert not login.leads_out(UrlTask(f"https://other.example{path}", "other.example", "1"))
