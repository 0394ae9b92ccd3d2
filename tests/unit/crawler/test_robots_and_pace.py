"""Politeness: what robots.txt says, and how often a host is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from crawler.fetch import Fetcher
from crawler.pace import Pacer, retry_after
from crawler.robots import MAX_BYTES, Robots
from serve_app.domain.clock import FakeClock, SystemClock
from serve_app.domain.errors import FetchError
from serve_app.settings import CrawlSettings
from support.raw_server import RawServer, answer, ok

SETTINGS = CrawlSettings(
    allow_networks=("127.0.0.0/8",), timeout=2, max_crawl_delay=5, host_delay=1
)


@pytest.fixture
async def robots() -> AsyncIterator[Callable[[FakeClock], Robots]]:
    fetcher = Fetcher(SETTINGS, SystemClock())
    await fetcher.open()
    yield lambda clock: Robots(fetcher, SETTINGS, clock)
    await fetcher.close()


async def refused(robots: Robots, url: str) -> str | None:
    try:
        await robots.check(url)
    except FetchError as error:
        return error.reason
    return None


async def test_the_rules_of_rfc_9309_are_followed(robots: Callable[[FakeClock], Robots]) -> None:
    text = """User-agent: other
Disallow: /

User-agent: omerutabrain
Disallow: /a
Allow: /a/b
Disallow: /*.pdf$
Crawl-delay: 3.5
Sitemap: http://a.test/map.xml
"""
    async with RawServer({"/robots.txt": ok(text, "text/plain")}) as server:
        rules = robots(FakeClock())
        assert await refused(rules, server.url + "/") is None
        assert await refused(rules, server.url + "/a/x") == "robots"
        assert await refused(rules, server.url + "/a/b/x") is None
        assert await refused(rules, server.url + "/x.pdf") == "robots"
        known = await rules.rules(server.url + "/")
        assert (known.delay, known.sitemaps) == (3.5, ("http://a.test/map.xml",))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(404), None),
        (answer(403), None),
        (answer(500), "robots_unreachable"),
        (answer(429), "robots_unreachable"),
        (b"", "connect"),
        (answer(302, headers={"Location": "http://10.0.0.1/robots.txt"}), "address_forbidden"),
        (ok("<html>not robots</html>"), None),
        (ok(b"\xff\xfe\x00User-agent: *\nDisallow: /x", "text/plain"), None),
        (ok("Crawl-delay: -4\nUser-agent: *\nCrawl-delay: 9999", "text/plain"), None),
    ],
)
async def test_a_missing_file_allows_and_an_unreachable_one_forbids(
    robots: Callable[[FakeClock], Robots], reply: bytes, reason: str | None
) -> None:
    async with RawServer({"/robots.txt": reply}) as server:
        rules = robots(FakeClock())
        assert await refused(rules, server.url + "/a") == reason
        assert 0 <= (await rules.rules(server.url)).delay <= SETTINGS.max_crawl_delay


async def test_rules_are_kept_a_day_and_failures_ten_minutes(
    robots: Callable[[FakeClock], Robots],
) -> None:
    clock = FakeClock()
    async with RawServer({"/robots.txt": answer(500)}) as server:
        rules = robots(clock)
        assert await refused(rules, server.url) == "robots_unreachable"
        server.answers["/robots.txt"] = answer(404)
        assert await refused(rules, server.url) == "robots_unreachable"
        await clock.advance(601)
        assert await refused(rules, server.url) is None
        await clock.advance(23 * 3600)
        await rules.rules(server.url)
        assert len(server.requests) == 2
        await clock.advance(2 * 3600)
        await rules.rules(server.url)
        assert len(server.requests) == 3


async def test_callers_share_one_request_and_a_huge_file_is_cut(
    robots: Callable[[FakeClock], Robots],
) -> None:
    text = "User-agent: *\nDisallow: /a\n" + "# x\n" * (MAX_BYTES // 4) + "Disallow: /b\n"
    async with RawServer({"/robots.txt": ok(text, "text/plain")}) as server:
        rules = robots(FakeClock())
        answers = await asyncio.gather(
            *(refused(rules, server.url + path) for path in ("/a", "/b", "/c"))
        )
        assert answers == ["robots", None, None]
        assert len(server.requests) == 1
        await rules.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_both_forms_of_retry_after_are_read(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


class Visits:
    """Takes turns at hosts and keeps when each began."""

    def __init__(self, **settings: float) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.pacer = Pacer(SETTINGS.model_copy(update=settings), self.clock)
        self.begun: list[tuple[str, float]] = []
        self.at_once = self.most = 0

    async def visit(self, host: str, delay: float = 0, lasting: float = 0) -> None:
        async with self.pacer.turn(host, delay):
            self.begun.append((host, (self.clock.now() - self.start) / timedelta(seconds=1)))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await self.clock.sleep(lasting)
            self.at_once -= 1

    async def run(self, *visits: object, seconds: int = 20) -> None:
        tasks = [asyncio.create_task(visit) for visit in visits]  # type: ignore[arg-type]
        for _ in range(seconds * 2):
            await self.clock.advance(0.5)
        await asyncio.gather(*tasks)


async def test_a_host_is_asked_at_intervals_and_others_meanwhile() -> None:
    visits = Visits()
    await visits.run(visits.visit("a"), visits.visit("a"), visits.visit("b"), visits.visit("a"))
    times = {h: [t for host, t in visits.begun if host == h] for h in "ab"}
    assert len(times["b"]) == 1
    gaps = [later - earlier for earlier, later in zip(times["a"], times["a"][1:], strict=False)]
    assert all(gap >= 1 for gap in gaps)


async def test_so_many_requests_at_once() -> None:
    visits = Visits(host_delay=0, per_host=2)
    await visits.run(*(visits.visit("a", lasting=2) for _ in range(5)))
    assert visits.most == 2
    assert len(visits.begun) == 5


async def test_the_sites_own_delay_counts_where_it_is_longer() -> None:
    visits = Visits()
    await visits.run(visits.visit("a", delay=4), visits.visit("a", delay=4))
    assert visits.begun[1][1] - visits.begun[0][1] >= 4


async def test_a_complaint_is_obeyed_within_bounds_and_grows() -> None:
    visits = Visits()
    visits.pacer.complained("a", 1000)
    await visits.run(visits.visit("a"))
    assert visits.begun[0][1] == SETTINGS.max_crawl_delay
    visits = Visits()
    visits.pacer.complained("a")
    visits.pacer.complained("a")
    await visits.run(visits.visit("a"))
    assert visits.begun[0][1] == 4
    visits.pacer.answered("a")
    visits.pacer.complained("a")
    before = visits.clock.now()
    await visits.run(visits.visit("a"))
    assert visits.begun[1][1] - (before - visits.start).total_seconds() == 2
