"""How likely a page still says what it said when it was read, and when to read it again.

A page is taken to change at random moments with a rate of its own (a Poisson process). The rate is
estimated from the visits as in Cho and Garcia-Molina, "Estimating frequency of change" (ACM Transactions
on Internet Technology 3(3), 2003): with n visits at a mean distance of d, of which x found a change,
rate = -ln((n - x + 0.5) / (n + 0.5)) / d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

DEFAULT_INTERVAL = timedelta(days=30)
_SHORTEST, _LONGEST = timedelta(days=1), timedelta(days=180)
_ENOUGH_VISITS = 3  # below, the page's own rate is a guess


@dataclass(frozen=True, slots=True)
class History:
    """A page's visits after the first, and how many of them found it changed."""

    added_at: datetime
    fetched_at: datetime
    visits: int = 0
    changes: int = 0


def change_interval(history: History) -> timedelta:
    """The expected time between two changes, within 1..180 days; 30 days while little is known."""
    n, x = history.visits, history.changes
    watched = history.fetched_at - history.added_at
    if n < _ENOUGH_VISITS or watched <= timedelta(0):
        return DEFAULT_INTERVAL
    changes_per_visit = -math.log((n - x + 0.5) / (n + 0.5))
    if changes_per_visit <= 0:
        return _LONGEST
    return max(_SHORTEST, min(watched / n / changes_per_visit, _LONGEST))


def score(history: History, now: datetime) -> float:
    """0..1: the probability that the page is unchanged since it was read; 1 when just read."""
    age = max(now - history.fetched_at, timedelta(0))
    return math.exp(-age / change_interval(history))


def next_visit(history: History) -> datetime:
    """When the page is due: after its change interval, and after 30 days at the latest."""
    return history.fetched_at + min(change_interval(history), DEFAULT_INTERVAL)
