"""`farm dead` says how much there is, and takes nothing that it would not heed."""

import io
import json
import re

import pytest

from farm.model.outcome import FailureKind
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
        (("drop",), "would drop all 4 letters for good; give --yes"),
        (("drop", "--site", "a.example", "--id", "0123456789abcdef"), "takes ids or --site, not both"),
        (("replay", "--pattern", "(", "--reason", "tls"), "--pattern '(' is no regular expression"),
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
    """All that can be read does; one that cannot is named when it is asked for by its id."""
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
