"""Keys, scopes and traps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.urls import (
    Scope,
    absolute,
    canonical_key,
    known_key,
    normalise,
    site,
    trap,
)

SAME = [
    ("HTTP://Example.COM:80", "http://example.com/"),
    ("https://example.com:443/a/./b/../c", "https://example.com/a/c"),
    ("http://example.com/a#part", "http://example.com/a"),
    ("http://example.com/?b=2&a=1", "http://example.com/?a=1&b=2"),
    ("http://example.com/?utm_source=x&a=1&fbclid=y", "http://example.com/?a=1"),
    ("http://example.com/?srsltid=AfmB&a=1", "http://example.com/?a=1"),
    ("http://example.com/a;jsessionid=12AB?x=1", "http://example.com/a?x=1"),
    ("http://example.com./a", "http://example.com/a"),
    ("http://user@example.com/a", "http://example.com/a"),
    ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
    ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
    ("  http://example.com/a  ", "http://example.com/a"),
]


@pytest.mark.parametrize(("spelling", "key"), SAME)
def test_spellings_of_one_page_have_one_key(spelling: str, key: str) -> None:
    assert normalise(spelling) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.test/x", "http://a.test/X"),
        ("http://a.test/x", "http://a.test/x/"),
        ("http://a.test/?a=1", "http://a.test/?a=2"),
        ("http://a.test:8080/", "http://a.test/"),
    ],
)
def test_other_pages_have_other_keys(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text(max_size=60))
def test_a_key_is_its_own_key(text: str) -> None:
    key = known_key("http://example.com/" + text)
    if key is not None:
        assert normalise(key) == key


@given(st.text(max_size=60))
def test_nothing_found_on_a_page_breaks(text: str) -> None:
    for url in (text, absolute("http://a.test/x/", text), absolute(text, "y")):
        key = known_key(url or "")
        if key is not None:
            trap(key)
            site(key)


def test_links_are_made_absolute_and_others_dropped() -> None:
    base = "http://a.test/x/y"
    assert absolute(base, "../z?q#f") == "http://a.test/z?q"
    assert absolute(base, "//b.test/") == "http://b.test/"
    assert [absolute(base, h) for h in ("mailto:a@b", "javascript:x()", "tel:1", "http://[")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.test/" + "x" * 2100, "too_long"),
        ("http://a.test/" + "/".join("abcdefghijklmnopqrstuvwxyz"), "too_deep"),
        ("http://a.test/x/y/x/y/x/y/x/y", "repeats"),
        ("http://a.test/?" + "&".join(f"k{n}=1" for n in range(9)), "query"),
        ("http://a.test/photo.JPG", "no_document"),
    ],
)
def test_traps_are_named(url: str, name: str) -> None:
    assert trap(url) == name


@pytest.mark.parametrize(
    "url",
    ["http://a.test/", "http://a.test/a/b?page=2", "http://a.test/x.pdf", "http://a.test/v1.2"],
)
def test_ordinary_addresses_are_no_traps(url: str) -> None:
    assert trap(url) is None


def test_a_site_is_compared_as_parsed() -> None:
    scope = Scope.of(["https://www.example.com/docs"], same_site=True)
    assert scope.covers("http://example.com/x")
    assert scope.covers("https://www.example.com/")
    for url in (
        "https://example.com.evil/",
        "https://example.com@evil.test/",
        "https://docs.example.com/",
        "https://example.com:8443/",
        "https://evil.test/https://example.com/",
    ):
        assert not scope.covers(url)


def test_patterns_are_globs_over_the_whole_address() -> None:
    scope = Scope.of(["http://a.test/"], same_site=False, include=["*/docs/*"], exclude=["*.pdf"])
    assert scope.covers("http://b.test/docs/x")
    assert not scope.covers("http://b.test/blog/x")
    assert not scope.covers("http://b.test/docs/x.pdf")


@pytest.mark.parametrize(
    ("claimed", "believed"),
    [
        ("http://a.test/x", True),
        ("https://www.a.test/x/", True),
        ("http://a.test/", False),
        ("http://a.test/y", False),
        ("http://b.test/x", False),
        ("ftp://a.test/x", False),
        (None, False),
    ],
)
def test_a_canonical_address_is_believed_for_its_own_path_only(
    claimed: str | None, believed: bool
) -> None:
    own = "http://a.test/x?view=print"
    assert (canonical_key(own, claimed) != own) == believed
