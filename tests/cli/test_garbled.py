"""What stands in Redis is not what a farm wrote: one sentence with what to do about it, from whichever command."""

import json

import pytest

from farm.model.outcome import FailureKind
from tests.cli.outside import Outside

LOOKING = (("status",), ("plan",), ("dead", "list"), ("dead", "replay"))
STEERING = (("pause",), ("add", "http://e.example/"))
RUN = ("run", "--no-sandbox")
ALL = (*LOOKING, *STEERING, RUN)
GARBLED = [
    (("HSET", "@crawl", "schema", "xx"), ALL),
    (("HSET", "@crawl", "settings", "{bad"), ALL),
    (("HSET", "@crawl", "settings", "[]"), ALL),
    (("HSET", "@crawl", "settings", "{}"), (("add", "http://e.example/"),)),
    (("HSET", "@crawl", "settings", json.dumps({"rate": "fast", "scope": "host"})), (RUN,)),
    (("HSET", "@crawl", "settings", json.dumps({"wait": "a while"})), (RUN,)),
    (("HSET", "@crawl", "settings", json.dumps({"canonicalisation": "one"})), (RUN,)),
    (("HSET", "@crawl", "key", "zz"), ALL),
    (("HDEL", "@crawl", "shards"), ALL),
    (("HSET", "@crawl", "shards", "-1"), ALL),
    (("HSET", "@crawl", "created_at", "yesterday"), ALL),
    (("SET", "@crawl", "a text"), ALL),
    (("SET", "@ctl", "garbage"), ALL),
    (("SET", "@ctl", b"\xff" * 268), LOOKING),
    (("HSET", "@tally", "tls", "many"), LOOKING),
    (("HSET", "@tally", b"\xff", "1"), LOOKING),
    (("SET", "@tally", "a text"), LOOKING),
]
CASES = [(garbling, command) for garbling, commands in GARBLED for command in commands]


@pytest.mark.parametrize(("garbling", "command"), CASES, ids=[f"{c[1][0]} {n}" for n, c in enumerate(CASES)])
def test_a_garbled_crawl_is_one_sentence(
    outside: Outside, garbling: tuple[str | bytes, ...], command: tuple[str, ...]
) -> None:
    """With what to do, and nothing of the script that stumbled over it."""
    if garbling[0] == "SET":
        outside.redis("DEL", garbling[1])
    outside.redis(*garbling)
    done = outside.farm(*command)
    assert done.code == 2
    assert "cannot be read" in done.sentence
    assert (
        f"use another --crawl, or start it anew with `farm run --fresh URL --redis {outside.url} --crawl t"
        in done.sentence
    )
    assert "user_function" not in done.sentence


def test_settings_that_lack_everything_are_told_to_a_run_that_joins(outside: Outside) -> None:
    """As what contradicts it."""
    outside.redis("HSET", "@crawl", "settings", "{}")
    done = outside.farm(*RUN)
    assert done.code == 2
    assert "or --fresh" in done.sentence


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (b"\xff", '{"at": 1, "sites": {}, "flow": {}, "limit": 1, "binding": ""}'),
        (b"n", "[]"),
        (b"n", '{"at": 1, "sites": [], "flow": {}, "limit": 1, "binding": ""}'),
        (b"n", '{"at": 9e15, "sites": {}, "flow": {"per_s": "much"}, "limit": 1, "binding": ""}'),
    ],
)
def test_figures_that_cannot_be_read_are_left_out(outside: Outside, node: bytes, told: str) -> None:
    """A node's garbled word does not hide what the others say, nor the ledger."""
    outside.redis("HSET", "@flow", node, told)
    done = outside.farm("status")
    assert (done.code, done.err) == (0, "")
    assert "accepted" in done.out


def test_a_node_and_a_site_are_shown_as_they_are_called(outside: Outside) -> None:
    """What stands between brackets is no markup."""
    told = '{"at": 9e15, "sites": {"[/b]": {}}, "flow": {}, "limit": 1, "binding": "[/i]"}'
    outside.register("[u]", "life")
    outside.redis("HSET", "@flow", "[u]", told)
    done = outside.farm("status")
    assert done.code == 0
    assert all(name in done.out for name in ("[/b]", "[/i]", "[u]"))


def test_a_scope_that_is_no_text_covers_nothing(outside: Outside) -> None:
    """What else is added to the crawl is added all the same."""
    outside.redis("SADD", "@scope", b"\xff")
    assert outside.farm("add", "http://e.example/").out == "1 added, 0 known already\n"


@pytest.mark.parametrize("command", [("dead", "list"), ("dead", "list", "--json"), ("dead", "replay")])
def test_a_garbled_letter_hides_no_other(outside: Outside, command: tuple[str, ...]) -> None:
    """The sound one is listed and replayed."""
    garbled, _ = outside.bury([FailureKind.TLS, FailureKind.TLS])
    outside.redis("HSET", "@dead", garbled, b"tls\nxx\n\xff\n\xff\n\xff")
    done = outside.farm(*command)
    assert done.code == 0
    if command[1] == "list":
        assert garbled in done.out
        assert "http://" in done.out
    else:
        assert done.out.startswith("1 replayed")


@pytest.mark.parametrize("action", ["show", "drop", "replay"])
def test_an_id_that_is_no_text_is_one_sentence(outside: Outside, action: str) -> None:
    """As the shell hands over a byte that is none."""
    done = outside.farm("dead", action, "\udcff")
    assert done.code == 2
    assert "no dead letter" in done.sentence
