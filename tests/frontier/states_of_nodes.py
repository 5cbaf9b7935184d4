"""What each transition does to the state that is about nodes."""

from tests.frontier.states_of_urls import HELD, NOW, Case

NODE_N = {"node": {"hash": {"n": "i1 {}"}}, "nodes": {"zset": {"n": NOW - 3000}}}
GONE_G = {"gone": {"hash": {"g": "ended i1 {}"}}, "left": {"zset": {"g": NOW - 5000}}}
BUSY_N = {
    **NODE_N,
    "slot": {"hash": {"n/s": HELD}},
    "due": {"zset": {"n/s": NOW}},
}
MANY = [f"x{number}" for number in range(1000)]
"""Names of so many nodes as can be asked to end."""

CASES: dict[str, Case] = {
    "register": (
        {},
        {},
        ("register", "n", "i1", "", "{}"),
        [1, 0],
        {},
        {"node": {"hash": {"n": "i1 {}"}}, "nodes": {"zset": {"n": NOW}}},
    ),
    "register, the name is taken": ({}, NODE_N, ("register", "n", "i2", "i0", "{}"), [0, 3000], {}, NODE_N),
    "heartbeat": (
        {},
        NODE_N,
        ("heartbeat", "n", "i1"),
        1,
        {},
        {"node": {"hash": {"n": "i1 {}"}}, "nodes": {"zset": {"n": NOW}}},
    ),
    "heartbeat of one that was replaced": ({}, NODE_N, ("heartbeat", "n", "i0"), 0, {}, NODE_N),
    "unregister": (
        {},
        NODE_N,
        ("unregister", "n", "i1"),
        0,
        {},
        {"gone": {"hash": {"n": "ended i1 {}"}}, "left": {"zset": {"n": NOW}}},
    ),
    "nodes": (
        {"leased": 1},
        BUSY_N,
        ("nodes", 1),
        [b"n", b"i1", 3000, 10_000, b"{}", 1, b""],
        {"leased": 1},
        BUSY_N,
    ),
    "nodes, without what they have leased": (
        {"leased": 1},
        BUSY_N,
        ("nodes", 0),
        [b"n", b"i1", 3000, 10_000, b"{}", 0, b""],
        {"leased": 1},
        BUSY_N,
    ),
    "drain": ({}, NODE_N, ("drain", "n", "drain"), 1, {}, {**NODE_N, "drained": {"set": {"n"}}}),
    "drain again": (
        {},
        {**NODE_N, "drained": {"set": {"n", *MANY}}},
        ("drain", "n", "drain"),
        1,
        {},
        {**NODE_N, "drained": {"set": {"n", *MANY}}},
    ),
    "drain, of very many those that nobody knows are forgotten": (
        {},
        {**GONE_G, **NODE_N, "drained": {"set": {"g", *MANY}}},
        ("drain", "n", "drain"),
        1,
        {},
        {**GONE_G, **NODE_N, "drained": {"set": {"g", "n"}}},
    ),
    "drain, very many are at work": (
        {},
        {"node": {"hash": dict.fromkeys(MANY, "i1 {}")}, "drained": {"set": {*MANY}}},
        ("drain", "n", "drain"),
        -1,
        {},
        {"node": {"hash": dict.fromkeys(MANY, "i1 {}")}, "drained": {"set": {*MANY}}},
    ),
    "drain, taken back": ({}, {"drained": {"set": {"n"}}}, ("drain", "n", "resume"), 0, {}, {}),
    "drain, taken back for all": ({}, {"drained": {"set": {"n", "m"}}}, ("drain", "", "resume"), 0, {}, {}),
}
