"""Rates, permits and lengths."""

from __future__ import annotations

import pytest

from serve_app.api.limits import RateLimiter, StreamPermits, body_bound, check_length
from serve_app.domain.errors import Overloaded, TooLarge
from serve_app.settings import LimitSettings


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_full_bucket_then_one_a_second() -> None:
    clock = Hand()
    rates = RateLimiter(60, now=clock)
    for _ in range(60):
        rates.take("a")
    with pytest.raises(Overloaded) as refused:
        rates.take("a")
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.at += 1.0
    rates.take("a")
    with pytest.raises(Overloaded):
        rates.take("a")


def test_each_key_has_its_own_bucket() -> None:
    rates = RateLimiter(1, now=Hand())
    rates.take("a")
    rates.take("b")
    with pytest.raises(Overloaded):
        rates.take("a")


def test_a_refusal_costs_nothing() -> None:
    clock = Hand()
    rates = RateLimiter(60, now=clock)
    for _ in range(60):
        rates.take("a")
    for _ in range(50):
        with pytest.raises(Overloaded):
            rates.take("a")
    clock.at += 1.0
    rates.take("a")


def test_the_buckets_are_bounded() -> None:
    rates = RateLimiter(1, capacity=3, now=Hand())
    for key in "abcd":
        rates.take(key)
    rates.take("a")  # was dropped, so it is full again
    with pytest.raises(Overloaded):
        rates.take("d")


def test_permits_are_given_back_also_after_an_error() -> None:
    permits = StreamPermits(per_token=1)
    for _ in range(3):
        with pytest.raises(ValueError), permits.hold("a"):
            raise ValueError
    with permits.hold("a"), permits.hold("b"), pytest.raises(Overloaded), permits.hold("a"):
        pytest.fail("a second stream was let in")


def test_texts_have_a_bound_that_names_the_field() -> None:
    limits = LimitSettings(message_chars=100)
    check_length("message", "x" * 100, limits)
    with pytest.raises(TooLarge, match="'message' has 101 characters") as refused:
        check_length("message", "x" * 101, limits)
    assert refused.value.field == "message"


def test_documents_may_be_larger_than_questions() -> None:
    limits = LimitSettings()
    assert body_bound("/api/search/", limits) == limits.body_bytes
    assert body_bound("/api/files/", limits) > limits.upload_bytes
    assert body_bound("/api/pages/", limits) > limits.upload_bytes
    assert body_bound("/api/import/", limits) == limits.import_bytes
