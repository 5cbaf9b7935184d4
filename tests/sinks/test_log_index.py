"""Memories of keys."""

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from farm.sinks.log_index import AllKeys, RecentKeys


def key(number: int) -> bytes:
    """Return the key of a number."""
    return blake2b(str(number).encode(), digest_size=16).digest()


def test_every_key_is_remembered() -> None:
    """And no other."""
    keys = AllKeys()
    for number in range(5000):
        assert key(number) not in keys
        keys.add(key(number))
    assert len(keys) == 5000
    assert all(key(number) in keys for number in range(5000))
    assert not any(key(number) in keys for number in range(5000, 10_000))


def test_bytes_across_the_border_of_two_keys_are_no_key() -> None:
    """Keys of one bucket lie end to end."""
    keys = AllKeys()
    keys.add(bytes(7) + b"\1" * 7 + b"ab")
    keys.add(b"\2" * 7 + b"\3" * 7 + b"ab")
    assert b"\1" * 7 + b"\2" * 7 + b"ab" not in keys
    keys.add(b"\1" * 7 + b"\2" * 7 + b"ab")
    assert b"\1" * 7 + b"\2" * 7 + b"ab" in keys


@given(
    st.lists(
        st.tuples(st.binary(min_size=14, max_size=14).map(lambda b: bytes(x & 1 for x in b)), st.booleans())
    )
)
def test_a_memory_of_keys_agrees_with_a_set(steps: list[tuple[bytes, bool]]) -> None:
    """Also for keys that are as alike as can be, all in one bucket."""
    keys, model = AllKeys(), set[bytes]()
    for start, is_added in steps:
        one = start + b"xx"
        assert (one in keys) == (one in model)
        if is_added and one not in model:
            keys.add(one)
            model.add(one)
    assert len(keys) == len(model)


def test_recent_keys_are_bounded_and_the_latest_half_is_there() -> None:
    """The oldest go."""
    keys = RecentKeys(100)
    for number in range(1000):
        keys.add(key(number))
        assert all(key(recent) in keys for recent in range(max(0, number - 49), number + 1))
    assert sum(key(number) in keys for number in range(1000)) <= 100
