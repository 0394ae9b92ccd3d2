"""SIGKILL to any process in the middle of a crawl and of an answer: what was accepted completes, once."""

import time
from typing import Any

import httpx
import pytest

from support.brain import RunningBrain
from support.many import ManyPages

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]

PAGES = 40
VICTIMS = {
    "TaskManager": "ray::TaskManager",
    "LLM": "ServeReplica:brain:LLM",
    "Knowledge": "ServeReplica:brain:Knowledge",
    "Crawler": "ServeReplica:brain:Crawler",
    "Orchestrator": "ServeReplica:brain:Orchestrator",
    "Embedder": "ServeReplica:brain:Embedder",
    "controller": "ServeController",
}


def status(http: httpx.Client, task_id: str) -> dict[str, Any]:
    """The task's status, asked for as a client does: again while the brain says that it is away."""
    for _ in range(150):
        try:
            answer = http.get(f"/api/agents/async/status/{task_id}/")
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        assert answer.status_code in (500, 503), answer.text
        time.sleep(0.2)
    raise AssertionError("no status within 30 s")


def wait_for_end(http: httpx.Client, task_id: str) -> dict[str, Any]:
    give_up = time.monotonic() + 150
    while (now := status(http, task_id))["status"] in ("queued", "processing"):
        assert time.monotonic() < give_up, now
        time.sleep(0.2)
    return now


def stored_urls(http: httpx.Client, site: str) -> list[str]:
    urls: list[str] = []
    cursor = None
    while True:
        parameters = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        page = http.get("/api/pages/", params=parameters).json()
        urls += [item["url"] for item in page["items"] if item["url"].startswith(site)]
        cursor = page["next_cursor"]
        if not cursor:
            return urls


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_loses_nothing(brain: RunningBrain, victim: str) -> None:
    with ManyPages(PAGES, delay=0.15, name=victim) as site, brain.http() as http:
        crawl = http.post(
            "/api/crawls/", json={"url": f"{site.url}/page/0", "max_pages": 100, "max_depth": 50}
        ).json()
        chat = None
        while (now := status(http, crawl["task_id"]))["counts"].get("stored", 0) < 3:
            assert now["status"] in ("queued", "processing"), now
            time.sleep(0.05)
        chat = http.post(
            "/api/agents/async/chat_async/",
            json={"message": f"How many boats does the keeper of {victim} 1 count in a year?"},
        ).json()
        killed = brain.kill(VICTIMS[victim])
        done = wait_for_end(http, crawl["task_id"])
        answered = wait_for_end(http, chat["task_id"])

        assert done["status"] == "completed", done
        assert done["result"]["counts"]["stored"] == PAGES, done["result"]
        assert done["counts"]["embedded"] == PAGES
        urls = stored_urls(http, site.url)
        assert sorted(urls) == sorted(f"{site.url}/page/{n}" for n in range(PAGES))
        assert answered["status"] == "completed", answered
        assert "22 boats" in answered["result"]["response"]
        assert not {p.pid for p in brain.processes()} & set(killed)

        # The whole log is there, in order, and the last attempt's pieces are the stored answer.
        events = read_events(http, chat["task_id"])
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
        last = answered["attempt"]
        pieces = "".join(e["text"] for e in events if e["type"] == "token" and e["attempt"] == last)
        assert pieces == answered["result"]["response"]


def read_events(http: httpx.Client, task_id: str) -> list[dict[str, Any]]:
    import json

    with http.stream("GET", f"/api/tasks/{task_id}/events") as answer:
        assert answer.status_code == 200
        return [
            json.loads(line.removeprefix("data:"))
            for line in answer.iter_lines()
            if line.startswith("data:")
        ]
