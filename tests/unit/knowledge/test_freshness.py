"""Freshness falls with age, faster for pages that change often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from serve_app.knowledge.freshness import History, change_interval, next_visit, score

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(visits: int, changes: int, days: int = 60) -> History:
    return History(START, START + timedelta(days=days), visits, changes)


def test_little_known_pages_change_monthly() -> None:
    assert change_interval(history(2, 2)) == timedelta(days=30)
    assert change_interval(History(START, START, 9, 9)) == timedelta(days=30)


def test_the_own_rate_counts_once_known() -> None:
    often, rarely, never = history(10, 9), history(10, 1), history(10, 0)
    assert change_interval(often) < timedelta(days=6)
    assert timedelta(days=30) < change_interval(rarely) < timedelta(days=120)
    assert change_interval(never) == timedelta(days=180)
    assert change_interval(history(100, 100, days=1)) == timedelta(days=1)


def test_score_is_one_when_read_and_falls() -> None:
    page = history(0, 0)
    later = [score(page, page.fetched_at + timedelta(days=d)) for d in (-1, 0, 10, 30, 365)]
    assert later[:2] == [1.0, 1.0]
    assert later == sorted(later, reverse=True)
    assert later[3] == pytest.approx(0.368, abs=0.001)


def test_next_visit_is_after_thirty_days_at_the_latest() -> None:
    never, often = history(10, 0), history(10, 9)
    assert next_visit(never) == never.fetched_at + timedelta(days=30)
    assert next_visit(often) == often.fetched_at + change_interval(often)
