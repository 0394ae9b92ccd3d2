"""The whole walk on real parts: crawl a site, ask it, follow every event, and every call of the contract."""

import asyncio
import json
from typing import Any

import httpx
import psutil
import pytest
import websockets

from omeruta import Brain, CrawlReport
from support.brain import RunningBrain
from support.many import ManyPages
from support.site import OFF_TOPIC, QUESTIONS, ExampleSite

pytestmark = [pytest.mark.serve, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def crawled(client: Brain, site: ExampleSite) -> CrawlReport:
    return client.crawl(f"{site.url}/", max_pages=80, progress=False)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_crawl_counts_what_it_did(
    crawled: CrawlReport, client: Brain, site: ExampleSite
) -> None:
    stored = [page for page in client.pages() if page.url.startswith(site.url)]
    assert crawled.stored == crawled.embedded == len(stored) >= 38
    assert crawled.failed == len(crawled.failures) == sum(crawled.reasons.values()) > 0
    assert not [path for path in site.hits if path.startswith("/private")]
    assert len({page.url for page in stored}) == len(stored)


def test_twenty_questions_are_answered_from_the_right_page(
    crawled: CrawlReport, client: Brain, site: ExampleSite
) -> None:
    right = 0
    for question in QUESTIONS:
        answer = client.ask(question.text, agent="qa")
        assert answer.sources, question
        for source in answer.sources:
            page = client.page(source.page_id)
            assert page.clean_markdown[source.start : source.end] == source.quote
        cited = [s for s in answer.sources if s.url == site.url + question.path]
        right += any(question.phrase in flat(source.quote) for source in cited)
    assert right >= 18


def test_what_the_sources_do_not_hold_is_refused(crawled: CrawlReport, client: Brain) -> None:
    for question in OFF_TOPIC:
        answer = client.ask(question, agent="qa")
        assert answer.sources == ()
        assert answer.confidence < 0.3
        assert "do not" in answer.text or "holds nothing" in answer.text


def test_the_brain_knows_its_own_documentation(client: Brain) -> None:
    answer = client.ask("How do I add a website?")
    assert any(source.url.startswith("omeruta://guide/") for source in answer.sources)
    assert "omeruta crawl" in answer.text or "address" in answer.text
    assert not [page for page in client.pages() if page.url.startswith("omeruta:")]


async def talk(brain: RunningBrain, message: dict[str, Any], until: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(60),
        websockets.connect(
            brain.url.replace("http", "ws") + "/ws/agent/",
            additional_headers={"Authorization": f"Bearer {brain.token}"},
        ) as socket,
    ):
        await socket.send(json.dumps(message))
        while not events or events[-1]["type"] != until:
            events.append(json.loads(await socket.recv()))
    return events


async def test_the_socket_tells_an_answer_in_order(
    crawled: CrawlReport, brain: RunningBrain
) -> None:
    question = "On which port does Tarn listen after installation?"
    events = await talk(brain, {"action": "start_chat", "message": question}, "task_completed")
    types = [event["type"] for event in events]
    assert types[0] == "task_started"
    assert types.index("agent_routed") < types.index("sources") < types.index("token")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["task_id"] for event in events}) == 1
    progress = [e["progress"] for e in events if e["type"] == "task_update"]
    assert progress == sorted(progress)
    result = events[-1]["result"]
    assert "".join(e["text"] for e in events if e["type"] == "token") == result["response"]
    assert result["context_used"] is True
    assert result["context_sources"] == len(result["sources"])
    for field in ("model_used", "selected_agent", "confidence_score", "processing_time", "user_id"):
        assert field in result

    replay = await talk(
        brain,
        {"action": "subscribe", "task_id": result["task_id"], "after": 3},
        "task_completed",
    )
    assert [e["seq"] for e in replay] == [e["seq"] for e in events[3:]]


async def test_a_socket_without_a_token_is_closed(brain: RunningBrain) -> None:
    async with websockets.connect(brain.url.replace("http", "ws") + "/ws/agent/") as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_each_agent_does_its_work(crawled: CrawlReport, client: Brain, site: ExampleSite) -> None:
    said = client.ask("Hello, what can you do?")
    assert said.agent == "general"
    assert said.text

    compared = client.analyze([f"{site.url}/docs/alerts", f"{site.url}/docs/limits"], "comparison")
    assert {source.url for source in compared.sources} == {
        f"{site.url}/docs/alerts",
        f"{site.url}/docs/limits",
    }
    summary = client.analyze([f"{site.url}/news/flood-winter"], "summary")
    lines = [line for line in summary.text.splitlines() if line.startswith("- ")]
    assert lines
    assert all(line.rstrip().endswith("]") for line in lines)
    assert {source.url for source in summary.sources} == {f"{site.url}/news/flood-winter"}
    quality = client.analyze([f"{site.url}/docs/install"], "quality")
    assert quality.agent == "analysis"

    report = client.research("How does Tarn compact its segments?")
    assert report.agent == "research"
    assert any("/docs/" in source.url for source in report.sources)


def test_expanding_knowledge_reads_pages_known_only_by_links(
    client: Brain, site: ExampleSite
) -> None:
    with ManyPages(6, delay=0.0, name="Observatory") as fresh:
        client.add(url=f"{fresh.url}/page/0")
        expansion = client.expand("page 1 and page 2 of the observatory", max_urls=2)
        assert expansion.urls_crawled == expansion.pages_added == 2
        assert expansion.chunks_added >= 2
        assert expansion.failed == 0
        assert [page.url for page in client.pages() if page.url == f"{fresh.url}/page/1"]


def test_pages_texts_and_files_come_and_go(client: Brain, brain: RunningBrain) -> None:
    text = "# Zephyrine\n\nThe zephyrine is a bird of 41 grams that winters in Quillon bay.\n"
    added = client.add(text=text, title="Zephyrine")
    assert len(added.page_ids) == 1
    answer = client.ask("How heavy is the zephyrine?", agent="qa")
    assert "41 grams" in answer.text
    hits = client.search("zephyrine Quillon", mode="lexical")
    assert hits[0].page_id == added.page_ids[0]
    client.delete_page(added.page_ids[0])
    for mode in ("lexical", "semantic", "hybrid"):
        assert added.page_ids[0] not in [
            hit.page_id for hit in client.search("zephyrine", mode=mode)
        ]

    note = brain.home / "note.md"
    note.write_text("# Vellmar\n\nThe lighthouse of Vellmar has 312 steps.\n")
    uploaded = client.upload(note)
    assert client.page(uploaded.page_ids[0]).clean_markdown.startswith("# Vellmar")


def test_people_see_only_their_own(brain: RunningBrain) -> None:
    with brain.http() as owner:
        user = owner.post("/api/auth/users/", json={"name": "ada", "role": "member"}).json()
        made = owner.post("/api/auth/tokens/", json={"name": "ada", "user_id": user["id"]}).json()
        task = owner.post("/api/agents/async/chat_async/", json={"message": "hello"}).json()
        with brain.http(made["token"]) as member:
            for path in (
                f"/api/tasks/{task['task_id']}/",
                f"/api/agents/async/status/{task['task_id']}/",
                f"/api/tasks/{task['task_id']}/events",
                "/api/tasks/unknown/",
            ):
                assert member.get(path).status_code == 404, path
            assert member.get("/api/auth/users/").status_code == 403
            assert member.get("/api/tasks/").json()["items"] == []
        with brain.http("wrong") as stranger:
            assert stranger.get("/api/tasks/").status_code == 401


def test_schedules_run_by_hand(client: Brain) -> None:
    assert {schedule.name for schedule in client.schedules()} == {
        "clean_up",
        "embed_pending",
        "refresh_stale",
        "assess_quality",
    }
    for schedule in client.schedules():
        task = client.run_schedule(schedule.name)
        assert client.wait(task.task_id, progress=False).status == "completed"


def test_conversations_are_kept(client: Brain, brain: RunningBrain) -> None:
    first = client.ask("Hello")
    again = client.ask("Thanks", conversation_id=first.conversation_id)
    assert again.conversation_id == first.conversation_id
    with brain.http() as http:
        talk = http.get(f"/api/conversations/{first.conversation_id}/").json()
    assert [m["role"] for m in talk["messages"]] == ["user", "assistant", "user", "assistant"]


def test_the_dashboard_wants_its_token(brain: RunningBrain) -> None:
    port = brain.variables["OMERUTA_SERVE__DASHBOARD_PORT"]
    address = f"http://127.0.0.1:{port}/api/serve/applications/"
    assert httpx.get(address).status_code == 401
    token = (brain.home / "ray-token").read_text()
    answer = httpx.get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert "brain" in answer.json()["applications"]


def test_secrets_are_for_their_owner_alone(brain: RunningBrain) -> None:
    for name in ("secret", "owner-token", "ray-token"):
        assert (brain.home / name).stat().st_mode & 0o777 == 0o600


def test_only_ray_listens_beyond_loopback(brain: RunningBrain) -> None:
    """HAProxy, its metrics and its stats on loopback; what else is open is Ray's own, behind its token."""
    open_to_all: dict[str, set[int]] = {}
    for process in brain.processes():
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and not connection.laddr.ip.startswith(
                "127."
            ):
                open_to_all.setdefault(" ".join(process.cmdline()), set()).add(
                    connection.laddr.port
                )
    assert not [title for title in open_to_all if "haproxy -db" in title]
    assert brain.port not in {port for ports in open_to_all.values() for port in ports}
    assert all("ray" in title for title in open_to_all), open_to_all
    assert any("haproxy -db" in " ".join(process.cmdline()) for process in brain.processes())
