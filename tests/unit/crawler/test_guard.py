"""The judge of addresses, all branches of it."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.guard import Guard, Refused, checked_url, is_public, unwrap
from serve_app.domain.errors import AddressForbidden, ConfigError, FetchError
from serve_app.settings import CrawlSettings

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
NOT_PUBLIC = [
    "127.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "2001::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "100::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_all_others_are_not(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_however_it_is_wrapped(address: IPv4Address) -> None:
    mapped, nat64, six_to_four = 0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112
    number = int(address)
    for wrapped in (mapped | number, nat64 | number, number, six_to_four | number << 80 | 1):
        if wrapped > 1:  # :: and ::1 have a meaning of their own
            assert is_public(IPv6Address(wrapped)) == is_public(address)
            assert unwrap(IPv6Address(wrapped)) == address


def test_a_port_must_be_on_the_list() -> None:
    guard = Guard(ports=frozenset((80,)))
    assert guard.permits("8.8.8.8", 80)
    assert not guard.permits("8.8.8.8", 22)


def test_a_listed_network_is_open_on_any_port_and_under_any_wrapping() -> None:
    guard = Guard.of(CrawlSettings(allow_networks=("127.0.0.0/8", "fd00::/8")))
    assert guard.permits("127.0.0.1", 9)
    assert guard.permits("::ffff:127.0.0.1", 9)
    assert guard.permits("fd00::1", 9)
    assert not guard.permits("10.0.0.1", 80)


def test_a_listed_host_may_be_inside_but_not_at_metadata() -> None:
    guard = Guard.of(CrawlSettings(allow_hosts=("Wiki.Intern.",)))
    assert guard.lists("wiki.intern")
    assert not guard.lists("wiki.intern.evil")
    assert guard.permits("10.0.0.1", 9000, listed_host=True)
    for address in ("169.254.169.254", "168.63.129.16", "fe80::1", "224.0.0.1"):
        assert not guard.permits(address, 80, listed_host=True)


def test_what_is_no_address_is_refused() -> None:
    assert not Guard().permits("example.com", 80)


def test_networks_that_are_none_stop_the_start() -> None:
    with pytest.raises(ConfigError, match="allow_networks"):
        Guard.of(CrawlSettings(allow_networks=("10.0.0.1/8",)))


def test_the_factory_makes_sockets_for_permitted_addresses_only() -> None:
    make = Guard().socket_factory()
    with pytest.raises(Refused):
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    made = make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80)))
    with made:
        assert not made.getblocking()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:70/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("/relative", "scheme"),
        ("http://user@example.com/", "userinfo"),
        ("http://user:pass@example.com/", "userinfo"),
        ("http://:pass@example.com/", "userinfo"),
    ],
)
def test_other_schemes_and_user_names_are_forbidden(url: str, reason: str) -> None:
    with pytest.raises(AddressForbidden) as caught:
        checked_url(url)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "url",
    [
        "http:///x",
        "http://a b/",
        "http://a\\@b/",
        "http://a/\n",
        "http://a:99999/",
        "http://[::1/",
        "http://",
    ],
)
def test_what_is_no_address_is_a_bad_url(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        checked_url(url)
    assert caught.value.reason == "bad_url"


def test_ordinary_addresses_pass() -> None:
    assert checked_url("https://Example.com/a?b=c#d").host == "example.com"
