"""Which addresses may be reached."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.egress import AllowedNetwork, Guard
from farm.egress.guard import embedded, inside
from farm.model.errors import UsageError

INSIDE = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "168.63.129.16": "metadata",
    "100.100.100.200": "metadata",
    "100.64.0.1": "carrier-grade NAT",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "reserved",
    "192.0.0.1": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "198.51.100.1": "reserved",
    "203.0.113.1": "reserved",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fe80::1": "link-local",
    "fe80::1%1": "link-local",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    "100::1": "reserved",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::127.0.0.1": "IPv4-compatible",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "2002:7f00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "2001::1": "Teredo",
    "2001:2::1": "reserved",
}
OUTSIDE = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "169.253.255.255",
    "192.167.255.255",
    "223.255.255.255",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001:80b::200e",
)


@pytest.mark.parametrize(("text", "reason"), INSIDE.items())
def test_what_lies_inside_is_refused_by_name(text: str, reason: str) -> None:
    """Each special network is refused, and the verdict says what it is."""
    verdict = Guard().decide(ip_address(text), 80)
    assert (verdict.allowed, verdict.reason) == (False, reason)


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_open_internet_is_allowed(text: str) -> None:
    """Neighbours of the special networks are not caught with them."""
    assert Guard().decide(ip_address(text), 80).allowed


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_allowed(ip: object) -> None:
    """The table is at least as strict as the standard library's, whatever the address."""
    address = ip_address(str(ip))
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    if special:
        assert inside(address)


def test_an_opened_network_is_open_on_its_port_only() -> None:
    """A port narrows what is opened."""
    guard = Guard([AllowedNetwork.parse("10.0.0.0/8:8080"), AllowedNetwork.parse("[::1]/128:443")])
    assert guard.decide(ip_address("10.9.9.9"), 8080).allowed
    assert not guard.decide(ip_address("10.9.9.9"), 80).allowed
    assert guard.decide(ip_address("::1"), 443).allowed
    assert not guard.decide(ip_address("::1"), 80).allowed
    assert not guard.decide(ip_address("192.168.0.1"), 8080).allowed


def test_a_carrying_network_opens_only_what_it_carries_there() -> None:
    """Opening NAT64 does not open the loopback that is written inside it."""
    guard = Guard([AllowedNetwork.parse("64:ff9b::/96"), AllowedNetwork.parse("2002::/16")])
    assert guard.decide(ip_address("64:ff9b::808:808"), 80).allowed
    assert not guard.decide(ip_address("64:ff9b::7f00:1"), 80).allowed
    assert not guard.decide(ip_address("2002:7f00:1::"), 80).allowed
    assert guard.decide(ip_address("2002:808:808::"), 80).allowed


@pytest.mark.parametrize("opened", ["127.0.0.0/8:8080", "[::ffff:127.0.0.0]/104:8080"])
def test_an_address_and_its_mapped_form_are_one(opened: str) -> None:
    """A socket takes both for the same, so whoever opens one has opened the other, and nothing else."""
    guard = Guard([AllowedNetwork.parse(opened)])
    for text in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert guard.decide(ip_address(text), 8080).allowed
        assert not guard.decide(ip_address(text), 80).allowed
    for text in ("10.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1"):
        assert not guard.decide(ip_address(text), 8080).allowed


def test_a_network_around_the_mapped_addresses_opens_none_of_them() -> None:
    """What they carry is judged by itself."""
    guard = Guard([AllowedNetwork.parse("::/0")])
    assert guard.decide(ip_address("fd00::1"), 80).allowed
    assert not guard.decide(ip_address("::ffff:127.0.0.1"), 80).allowed


def test_teredo_carries_two_addresses() -> None:
    """Server and client are both judged."""
    teredo = ip_address("2001:0:4136:e378:8000:63bf:3fff:fdd2")
    assert [str(ip) for ip in embedded(teredo)] == ["65.54.227.120", "192.0.2.45"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "network", "port"),
    [
        ("127.0.0.0/8", "127.0.0.0/8", None),
        ("127.0.0.1", "127.0.0.1/32", None),
        ("127.0.0.1:8080", "127.0.0.1/32", 8080),
        (" 10.0.0.0/8:443 ", "10.0.0.0/8", 443),
        ("::1", "::1/128", None),
        ("fd00::/8", "fd00::/8", None),
        ("[::1]/128:8080", "::1/128", 8080),
        ("[::1]:8080", "::1/128", 8080),
        ("[fd00::]/8", "fd00::/8", None),
        ("::ffff:0:0/96", "0.0.0.0/0", None),
        ("::ffff:0.0.0.0/96", "0.0.0.0/0", None),
        ("[::ffff:a00:0]/104:443", "10.0.0.0/8", 443),
        ("::ffff:10.1.2.3", "10.1.2.3/32", None),
        ("0.0.0.0/0", "0.0.0.0/0", None),
    ],
)
def test_networks_are_read(text: str, network: str, port: int | None) -> None:
    """CIDR[:port], with brackets where an IPv6 network has a port."""
    allowed = AllowedNetwork.parse(text)
    assert (str(allowed.network), allowed.port) == (network, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "10.0.0.0/33",
        "10.0.0/8",
        "10.1.2.3/8",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:http",
        "[10.0.0.0]/8",
        "[::1",
        "::1]:80",
        "[fd00::1]/8",
        "::ffff:10.1.2.3/104",
        "fe80::1%eth0/64",
        "10.0.0.0/8:80:90",
    ],
)
def test_what_is_no_network_is_said_in_one_sentence(text: str) -> None:
    """The sentence names the text, and is one."""
    with pytest.raises(UsageError) as raised:
        AllowedNetwork.parse(text)
    sentence = str(raised.value)
    assert repr(text.strip()) in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
