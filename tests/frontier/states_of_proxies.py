"""What each transition does to what is kept of proxies: visits by them, their paces, bans and bytes."""

from tests.frontier.states_of_urls import A1, ENTRY_A1, NOW, TERMS, TOKEN, Case, record

HELD_BY_P = "\0".join(("", "r0", TOKEN, "a", "p", "1", str(NOW), ENTRY_A1))

CASES: dict[str, Case] = {
    "ack by an address, which leaves nothing beside the site": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "", "f": "1", "f@p": "1", "f@q": "2"}},
            "out:p": {"hash": {"f": "1"}},
            "slot": {"hash": {"s1": HELD_BY_P}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("ack", "s1", A1, TOKEN, 0, *("", "", 0, "", "000", 0, 1), "", 0),
        [b"OK"],
        {"accepted": 1, "sites": 1, "done": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "", "f": "0", "f@q": "2"}},
            "out:p": {"hash": {"f": "0"}},
            "slot": {"hash": {"s1": record(f"ack {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "tune of an address": (
        {},
        {"site:a": {"hash": {"b": "", "x@p": str(NOW + 9), "f@p": "1"}}},
        ("tune", "a", "", "new", 3, 400, "p"),
        [1, b"new", str(NOW).encode(), 1, str(NOW + 9).encode(), TERMS["limit"]],
        {},
        {
            "out:": {"hash": {"pairs": "1"}},
            "site:a": {"hash": {"b": "", "x@p": str(NOW + 9), "f@p": "1", "a@p": "new", "i@p": "400"}},
        },
    ),
    "tune of one address too many that no limit is known of": (
        {},
        {"out:": {"hash": {"pairs": "50000"}}, "site:a": {"hash": {"b": ""}}},
        ("tune", "a", "", "new", 3, 0, "p"),
        [1, b"", str(NOW).encode(), 0, b"0", TERMS["limit"]],
        {},
        {"out:": {"hash": {"pairs": "50000"}}, "site:a": {"hash": {"b": ""}}},
    ),
    "tune of an address that is known already": (
        {},
        {"out:": {"hash": {"pairs": "50000"}}, "site:a": {"hash": {"b": "", "a@p": "old", "i@p": "0"}}},
        ("tune", "a", "old", "new", 3, 0, "p"),
        [1, b"new", str(NOW).encode(), 0, b"0", TERMS["limit"]],
        {},
        {"out:": {"hash": {"pairs": "50000"}}, "site:a": {"hash": {"b": "", "a@p": "new", "i@p": "0"}}},
    ),
    "proxied: only what is new is added": (
        {},
        {"proxied": {"hash": {"bytes": "1000", "budget": "5000"}}, "proxied:me": {"string": "400"}},
        ("proxied", "me", 700, 2000),
        [b"1300", b"2000"],
        {},
        {"proxied": {"hash": {"bytes": "1300", "budget": "2000"}}, "proxied:me": {"string": "700"}},
    ),
    "proxied: less than was said before": (
        {},
        {"proxied": {"hash": {"bytes": "1000"}}, "proxied:me": {"string": "400"}},
        ("proxied", "me", 300, ""),
        [b"1000", b"0"],
        {},
        {"proxied": {"hash": {"bytes": "1000"}}, "proxied:me": {"string": "400"}},
    ),
    "bans": (
        {},
        {
            "bans": {
                "hash": {"p": f"{NOW + 50} 1", "q": f"{NOW - 1} 1", "r": f"{NOW + 9} 2", "s": f"{NOW + 9} 1"}
            },
            "newbans": {"zset": {"p": 3, "q": 4, "r": 5, "s": 6}},
            "lastban": {"string": "6"},
            "banends": {"zset": {"p": NOW + 50, "q": NOW - 1, "r": NOW + 9, "s": NOW + 9}},
        },
        ("bans", 4, *("p", 10, 1), *("r", 60, 3), *("s", 0, 0)),
        [7, b"r", 60, 3],
        {},
        {
            "bans": {"hash": {"p": f"{NOW + 50} 1", "r": f"{NOW + 60} 3"}},
            "newbans": {"zset": {"p": 3, "r": 7}},
            "lastban": {"string": "7"},
            "banends": {"zset": {"p": NOW + 50, "r": NOW + 60}},
        },
    ),
    "bans, all of them, by a caller that has heard of more than there were": (
        {},
        {
            "bans": {"hash": {"p": f"{NOW + 50} 1", "q": f"{NOW - 1} 1"}},
            "newbans": {"zset": {"p": 3}},
            "lastban": {"string": "3"},
        },
        ("bans", 9),
        [3, b"p", 50, 1],
        {},
        {
            "bans": {"hash": {"p": f"{NOW + 50} 1"}},
            "newbans": {"zset": {"p": 3}},
            "lastban": {"string": "3"},
        },
    ),
}
