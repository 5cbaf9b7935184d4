"""What each transition does to what shards share: the pages of a run, a rate and places over all of them."""

from tests.frontier.states_of_urls import NOW, Case

CASES: dict[str, Case] = {
    "quota": (
        {"lent": 7},
        {"once:earlier": {"string": "2"}},
        ("quota", "borrow", 5, 10, "t"),
        3,
        {"lent": 10},
        {"once:earlier": {"string": "2"}, "once:t": {"string": "3"}},
    ),
    "quota, repeated": (
        {"lent": 7},
        {"once:t": {"string": "2"}},
        ("quota", "borrow", 5, 10, "t"),
        2,
        {"lent": 7},
        {"once:t": {"string": "2"}},
    ),
    "lend: begin": (
        {},
        {},
        ("lend", "begin", 2000, "100", 8),
        [b"1", b"100", b"8"],
        {},
        {"lending": {"hash": {"lender": "1", "begun": str(NOW), "interval": "100", "places": "8"}}},
    ),
    "lend: begun too early": (
        {},
        {"lending": {"hash": {"lender": "1", "begun": str(NOW - 1000)}}},
        ("lend", "begin", 2000, "100", 8),
        [],
        {},
        {"lending": {"hash": {"lender": "1", "begun": str(NOW - 1000)}}},
    ),
    "lend: set": (
        {"all_interval": 400, "all_limit": 4, "leased": 3, "tat": NOW + 5000},
        {"lending": {"hash": {"lender": "1"}}, "out:": {"hash": {"s": str(NOW + 5000)}}},
        ("lend", "set", 1, "200", 2),
        [b"200", 3],
        {"all_interval": 200, "all_limit": 3, "leased": 3, "tat": NOW + 200},
        {"lending": {"hash": {"lender": "1"}}, "out:": {"hash": {"s": str(NOW + 200)}}},
    ),
    "lend: set by one that another has followed": (
        {"all_interval": 400},
        {"lending": {"hash": {"lender": "2"}}},
        ("lend", "set", 1, "200", 0),
        [],
        {"all_interval": 400},
        {"lending": {"hash": {"lender": "2"}}},
    ),
}
