"""`farm dead` says how much there is, and takes nothing that it would not heed."""

import io
import json
import re

import pytest

from farm.model.outcome import FailedVisit, FailureKind
from tests.cli.outside import Outside

FOUR = (FailureKind.TLS, FailureKind.TLS, FailureKind.CRASH, FailureKind.TLS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "0123456789abcdef"), "an id does not go with `farm dead list`"),
        (("show", "0123456789abcdef", "--size", "3"), "--size does not go with"),
        (("show", "0123456789abcdef", "--reason", "tls"), "--reason does not go with"),
        (("replay", "--start", "3"), "--start does not go with"),
        (("drop", "--size", "3"), "--size does not go with"),
        (("drop", "--reason", "tls", "0123456789abcdef"), "not both"),
        (("drop",), "would drop all 4 letters permanently; give --yes"),
        (("drop", "--site", "a.example", "--id", "0123456789abcdef"), "takes ids or --site, not both"),
        (("replay", "--pattern", "(", "--reason", "tls"), "--pattern '(' is not a regular expression"),
        (("show", "0123456789abcdef", "--site", "a.example"), "--site does not go with"),
        (("list", "--yes"), "--yes does not go with"),
        (("replay", "--reason", "tls", "0123456789abcdef"), "not both"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_would_be_without_effect_is_refused(
    outside: Outside, arguments: tuple[str, ...], said: str
) -> None:
    """Before anything is moved: `drop --size 3` would forget all letters."""
    outside.bury(FOUR)
    done = outside.farm("dead", *arguments)
    assert done.code == 2
    assert said in done.sentence
    letters = outside.farm("dead", "list", "--json").out.splitlines()
    assert len(letters) == 4
    moments = [json.loads(letter)["at"] for letter in letters]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one) for one in moments if one), (
        moments
    )
    assert any(moments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "1 to 4 of 4"),
        (("--size", "3"), "1 to 3 of 4; --start 3 lists the next ones"),
        (("--start", "3", "--size", "3"), "4 to 4 of 4"),
        (("--start", "4"), "no dead letters beyond 4; there are 4"),
        (("--reason", "tls", "--size", "1"), "1 to 1 of 3; --start 1 lists the next ones"),
        (("--reason", "timeout"), "no dead letters"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_page_says_of_how_many_it_is(outside: Outside, arguments: tuple[str, ...], said: str) -> None:
    """And how to come to the next one."""
    outside.bury(FOUR)
    done = outside.farm("dead", "list", *arguments)
    assert done.code == 0
    assert done.out.splitlines()[-1] == said


def test_a_letter_is_one_line_of_a_pipe(outside: Outside) -> None:
    """However long its URL is: a program that reads lines would not find it."""
    url = f"http://e.example/{'x' * 300}"
    outside.farm("add", url)
    ids = outside.bury((*FOUR, FailureKind.TLS))
    lines = outside.farm("dead", "list").out.splitlines()
    assert len(lines) == 1 + len(ids) + 1
    assert [line.rstrip().endswith(f"{url}  said so") for line in lines].count(True) == 1


def test_a_letter_in_the_list_has_its_detail(outside: Outside) -> None:
    """A pipe has all of it, a terminal the beginning."""
    said = f"Playwright: {'a long tale ' * 30}".strip()
    outside.fail((FailureKind.HANDLER, FailedVisit("handler", said)))
    _, line, _ = outside.farm("dead", "list").out.splitlines()
    assert line.rstrip().endswith(said)


def test_a_page_for_a_program_is_letters_alone(outside: Outside) -> None:
    """That there are more is said beside them."""
    outside.bury(FOUR)
    done = outside.farm("dead", "list", "--json", "--size", "3")
    assert [json.loads(line)["reason"] for line in done.out.splitlines()] == ["crash", "tls", "tls"]
    assert "1 to 3 of 4; --start 3" in done.err
    assert outside.farm("dead", "list", "--json").err == ""


def test_what_was_moved_is_told_to_a_program_too(outside: Outside) -> None:
    """As an object."""
    ids = outside.bury(FOUR)
    assert json.loads(outside.farm("dead", "drop", ids[0], "--json").out) == {"dropped": 1}
    replayed = outside.farm("dead", "replay", "--reason", "tls", "--json")
    assert json.loads(replayed.out) == {"replayed": 2, "still_dead": 0}


def test_replaying_says_why_not_all_came(outside: Outside) -> None:
    """All that can be read does; one that cannot is named when it is requested by its id."""
    garbled, *_ = outside.bury(FOUR)
    outside.redis("HSET", "@dead", garbled, "tls\n5\nsaid so\na.example\ngarbage")
    by_id = outside.farm("dead", "replay", garbled)
    assert by_id.code == 2
    assert "cannot be read" in by_id.sentence
    assert outside.farm("dead", "replay").out == (
        "3 replayed, 1 still dead: what cannot be read can only be dropped\n"
    )
    assert outside.farm("dead", "drop", garbled).out == "1 dropped\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 4), ("\n", 4)])
def test_all_letters_are_dropped_only_after_a_yes(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    """They are what could still be tried again."""
    outside.bury(FOUR)

    class Typing(io.StringIO):
        def isatty(self) -> bool:
            """Say that a person sits there."""
            return True

    monkeypatch.setattr("sys.stdin", Typing(answer))
    assert outside.farm("dead", "drop").code == (2 if left else 0)
    assert len(outside.farm("dead", "list", "--json").out.splitlines()) == left


def test_a_script_says_yes_beforehand(outside: Outside) -> None:
    """And a reason needs no yes."""
    outside.bury(FOUR)
    assert outside.farm("dead", "drop", "--reason", "tls").out == "3 dropped\n"
    assert outside.farm("dead", "drop", "--yes").out == "1 dropped\n"


def test_letters_are_chosen_by_site_pattern_and_id(outside: Outside) -> None:
    """And dropped without being asked: what is chosen is meant."""
    ids = outside.bury(FOUR)
    letters = [json.loads(line) for line in outside.farm("dead", "list", "--json").out.splitlines()]
    task = next(letter["task"] for letter in letters if letter["id"] == ids[0])
    url, site = task["url"], task["site"]
    assert json.loads(outside.farm("dead", "show", "--id", ids[0], "--json").out)["id"] == ids[0]
    chosen = outside.farm("dead", "list", "--json", "--site", site, "--pattern", re.escape(url) + "$")
    assert [json.loads(line)["id"] for line in chosen.out.splitlines()] == [ids[0]]
    assert outside.farm("dead", "list", "--site", "other.example").out == "no dead letters\n"
    assert outside.farm("dead", "drop", "--pattern", re.escape(url) + "$").out == "1 dropped\n"
    left = next(letter for letter in letters if letter["id"] == ids[3])
    assert outside.farm("dead", "replay", "--id", ids[1], "--id", ids[2]).out == "2 replayed\n"
    assert outside.farm("dead", "drop", "--site", left["task"]["site"]).out == "1 dropped\n"


def test_a_letter_is_shown_with_its_visits(outside: Outside) -> None:
    """When, where, by which proxy, how far each came, how long it took, and why it ended."""
    first = FailedVisit("timeout", "no \x1b[31manswer", "navigate", "n1", "07", "p1", 0, {"total": 1900})
    last = FailedVisit("http_5xx", "status 500", "judge", "n2", "01", None, 500, {"wait": 0, "total": 12})
    letter = outside.fail((FailureKind.TIMEOUT, first), (FailureKind.HTTP_5XX, last))
    shown = outside.farm("dead", "show", letter).out
    visits = shown.partition("visits\n")[2].splitlines()
    assert re.fullmatch(r"  [-0-9]{10} [:0-9]{8}  timeout: no \S+answer", visits[0]), visits
    assert visits[1] == "      node n1, context 07, proxy p1, in navigate (total 1,900 ms)"
    assert visits[2].endswith("  http_5xx: status 500")
    assert visits[3] == "      node n2, context 01, in judge, status 500 (total 12 ms)"
    assert "\x1b" not in shown
    told = json.loads(outside.farm("dead", "show", letter, "--json").out)
    assert [past["reason"] for past in told["history"]] == ["timeout", "http_5xx"]
    assert told["history"][0]["proxy"] == "p1"


def test_a_replay_whose_answer_was_lost_is_given_again(outside: Outside) -> None:
    """It moves nothing and says so; what is no id is an error."""
    letter = outside.bury(FOUR)[0]
    assert outside.farm("dead", "replay", letter).out == "1 replayed\n"
    again = outside.farm("dead", "replay", letter)
    assert (again.code, again.out) == (0, "0 replayed\n")
    assert "1 of these ids is not dead" in again.err
    assert "no dead letter 'x'" in outside.farm("dead", "replay", "x").sentence
