from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omeruta import (
    BadRequest,
    Brain,
    ConfigError,
    Event,
    NotReachable,
    ServerError,
    TaskCancelled,
    TaskFailed,
)

SOURCE = {"n": 1, "title": "Oven", "url": "http://docs.test/oven", "quote": "Bake.", "score": 0.9}
RESULT = {
    "response": "> Bake. [1]",
    "response_html": "<blockquote>Bake. [1]</blockquote>",
    "model_used": "smollm2",
    "selected_agent": "qa",
    "sources": [SOURCE],
    "confidence_score": 0.8,
    "processing_time": 1.5,
    "task_id": "t1",
    "conversation_id": "c1",
    "notes": ["The embedder is away."],
}
ACCEPTED = {"task_id": "t1", "status": "processing", "conversation_id": "c1"}
MULTIAGENT = "/api/agents/async/multiagent_async/"


@pytest.fixture
def brain(stand_in: Any) -> Any:
    with Brain(stand_in.url, "token") as client:
        yield client


def completes(stand_in: Any, path: str, result: dict[str, Any], *before: dict[str, Any]) -> None:
    stand_in.on("POST", path, ACCEPTED, 202)
    stand_in.task("t1", [*before, {"type": "task_completed", "result": result}])
    status = {"task_id": "t1", "status": "completed", "result": result, "counts": {"stored": 3}}
    stand_in.on("GET", "/api/tasks/t1/", status)


def test_an_answer_comes_with_its_sources(stand_in: Any, brain: Brain) -> None:
    completes(stand_in, MULTIAGENT, RESULT, {"type": "task_update", "progress": 25})
    heard: list[Event] = []
    answer = brain.ask("How?", agent="qa", conversation_id="c1", on_event=heard.append)
    assert stand_in.seen[0].json == {"query": "How?", "agent_type": "qa", "conversation_id": "c1"}
    assert (answer.text, answer.agent, answer.confidence) == ("> Bake. [1]", "qa", 0.8)
    assert (answer.model, answer.seconds, answer.task_id) == ("smollm2", 1.5, "t1")
    assert answer.sources[0].url == "http://docs.test/oven"
    assert answer.notes == ("The embedder is away.",)
    assert answer.html == RESULT["response_html"]
    assert [event.type for event in heard] == ["task_update", "task_completed"]


def test_events_can_be_had_as_they_come(stand_in: Any, brain: Brain) -> None:
    tokens = [{"type": "token", "text": text} for text in ("a", "b")]
    completes(stand_in, MULTIAGENT, RESULT, *tokens)
    assert "".join(event.text for event in brain.ask_stream("How?")) == "ab"


@pytest.mark.parametrize(
    ("last", "kind", "message"),
    [
        ({"type": "task_failed", "error": "It broke.", "error_code": "x"}, TaskFailed, "It broke."),
        ({"type": "task_failed", "error": {"error": "It broke."}}, TaskFailed, "It broke."),
        ({"type": "task_failed"}, TaskFailed, "Task t1 failed"),
        ({"type": "task_cancelled", "error": "Stopped."}, TaskCancelled, "Stopped."),
        ({"type": "task_completed", "result": None}, ServerError, "no longer kept"),
    ],
)
def test_a_task_that_brings_no_answer_raises(
    stand_in: Any, brain: Brain, last: dict[str, Any], kind: type[Exception], message: str
) -> None:
    stand_in.on("POST", MULTIAGENT, ACCEPTED, 202)
    stand_in.task("t1", [last])
    with pytest.raises(kind, match=message):
        brain.ask("How?")


def test_the_brains_own_sentence_is_raised(stand_in: Any, brain: Brain) -> None:
    refusal = {"error": "'query' must not be blank.", "code": "bad_request", "field": "query"}
    stand_in.on("POST", MULTIAGENT, refusal, 400)
    with pytest.raises(BadRequest) as caught:
        brain.ask(" ")
    assert caught.value.field == "query"


def test_research_analysis_and_expansion(stand_in: Any, brain: Brain) -> None:
    info = {"urls_crawled": 2, "pages_added": 1, "chunks_added": 5, "failed": 1, "failures": [{}]}
    result = {**RESULT, "expansion_info": info, "quality_assessment": {"score": 0.5}}
    for path in ("research_topic", "analyze_content", "expand_knowledge"):
        stand_in.on("POST", f"/api/agents/async/{path}/", ACCEPTED, 202)
    stand_in.task("t1", [{"type": "task_completed", "result": result}])
    report = brain.research("ovens", max_sources=3)
    assert report.expansion is not None
    assert report.expansion.pages_added == 1
    assert brain.analyze(["http://a.test/"], type="quality").quality == {"score": 0.5}
    assert brain.expand("ovens", max_urls=2).chunks_added == 5
    bodies = [seen.json for seen in stand_in.seen if seen.method == "POST"]
    assert bodies == [
        {"topic": "ovens", "expand_knowledge": True, "max_sources": 3},
        {"urls": ["http://a.test/"], "analysis_type": "quality"},
        {"topic": "ovens", "max_urls": 2},
    ]


def test_a_crawl_reports_true_counts(stand_in: Any, brain: Brain) -> None:
    stand_in.on("POST", "/api/crawls/", ACCEPTED, 202)
    stand_in.task("t1", [{"type": "task_completed", "result": {}}])
    counts = {"found": 9, "fetched": 7, "stored": 6, "embedded": 6, "failed": 2}
    missed = {"url": "http://a.test/x", "reason": "robots", "message": "Not allowed."}
    result = {"reasons": {"robots": 2}, "failed": [missed], "counts": counts}
    done = {"task_id": "t1", "status": "completed", "counts": counts, "result": result}
    stand_in.on("GET", "/api/tasks/t1/", done)
    report = brain.crawl("http://a.test/", max_pages=9, include="*/docs/*")
    assert stand_in.seen[0].json == {
        "url": "http://a.test/",
        "max_pages": 9,
        "max_depth": 5,
        "include": ["*/docs/*"],
        "exclude": [],
    }
    assert (report.found, report.stored, report.failed) == (9, 6, 2)
    assert report.reasons == {"robots": 2}
    assert report.failures == (missed,)
    assert str(report) == (
        "http://a.test/: 6 pages stored of 9 addresses found, 2 failed (robots 2)."
    )


def test_a_crawl_need_not_be_waited_for(stand_in: Any, brain: Brain) -> None:
    stand_in.on("POST", "/api/crawls/", ACCEPTED, 202)
    report = brain.crawl("http://a.test/", wait=False)
    assert (report.task_id, report.status, report.stored) == ("t1", "processing", 0)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"url": "http://a.test/"}, {"url": "http://a.test/"}),
        ({"text": "Body", "title": "Head"}, {"text": "Body", "title": "Head"}),
        ({"items": [{"url": "http://a.test/"}]}, {"items": [{"url": "http://a.test/"}]}),
    ],
)
def test_adding_pages(stand_in: Any, brain: Brain, given: Any, sent: Any) -> None:
    failed = [{"url": "u", "reason": "robots", "message": "Not allowed."}]
    completes(stand_in, "/api/pages/", {"pages": [4, 5], "failed": failed})
    added = brain.add(**given)
    assert stand_in.seen[0].json == sent
    assert added.page_ids == (4, 5)
    assert added.failures == tuple(failed)
    assert added.counts == {"stored": 3}
    assert added.status == "completed"


def test_adding_nothing_is_refused_before_it_is_sent(stand_in: Any, brain: Brain) -> None:
    with pytest.raises(BadRequest):
        brain.add()
    assert stand_in.seen == []


def test_a_file_is_uploaded(stand_in: Any, brain: Brain, tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# Notes")
    completes(stand_in, "/api/files/", {"pages": [4]})
    assert brain.upload(path).page_ids == (4,)
    assert b'name="file"; filename="notes.md"' in stand_in.seen[0].body
    assert b"# Notes" in stand_in.seen[0].body


def test_a_file_that_cannot_be_read_is_named(brain: Brain, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.md cannot be read"):
        brain.upload(tmp_path / "gone.md")
    with pytest.raises(ConfigError, match=r"gone\.jsonl cannot be read"):
        brain.import_(tmp_path / "gone.jsonl")


def test_search(stand_in: Any, brain: Brain) -> None:
    hit = {"page_id": 1, "chunk_id": 2, "title": "T", "url": "u", "text": "x", "start": 0, "end": 1}
    stand_in.on("POST", "/api/search/", {"hits": [{**hit, "score": 0.1, "new_field": 1}]})
    (found,) = brain.search("ovens", mode="lexical", limit=3, filters={"site": "a.test"})
    assert (found.page_id, found.text) == (1, "x")
    assert stand_in.seen[0].json == {
        "query": "ovens",
        "mode": "lexical",
        "limit": 3,
        "filters": {"site": "a.test"},
    }


def test_pages_are_listed_over_many_answers(stand_in: Any, brain: Brain) -> None:
    path = ("GET", "/api/pages/")
    stand_in.on(*path, {"items": [{"id": 1, "url": "a"}], "next_cursor": "x", "total": 2})
    stand_in.on(*path, {"items": [{"id": 2, "url": "b"}], "next_cursor": None, "total": 2})
    assert [page.id for page in brain.pages(site="a.test")] == [1, 2]
    assert [seen.path for seen in stand_in.seen] == [
        "/api/pages/?site=a.test",
        "/api/pages/?site=a.test&cursor=x",
    ]


def test_a_listing_stops_at_its_limit(stand_in: Any, brain: Brain) -> None:
    items = [{"id": n, "url": "a"} for n in range(3)]
    stand_in.on("GET", "/api/pages/", {"items": items, "next_cursor": "x", "total": 9})
    assert len(list(brain.pages(limit=2))) == 2
    assert stand_in.seen[0].path == "/api/pages/?limit=2"


def test_a_cursor_that_goes_round_ends_the_listing(stand_in: Any, brain: Brain) -> None:
    stand_in.on("GET", "/api/pages/", {"items": [{"id": 1, "url": "a"}], "next_cursor": "x"})
    assert len(list(brain.pages())) == 2


def test_a_page_is_read_and_deleted(stand_in: Any, brain: Brain) -> None:
    page = {"id": 7, "url": "u", "clean_markdown": "# T", "fetched_at": "2026-01-02T03:04:05Z"}
    stand_in.on("GET", "/api/pages/7/", {**page, "published_at": None})
    stand_in.on("DELETE", "/api/pages/7/", None, 204)
    read = brain.page(7)
    assert read.clean_markdown == "# T"
    assert read.fetched_at is not None
    assert read.fetched_at.utcoffset() is not None
    brain.delete_page(7)
    assert len(stand_in.calls("DELETE", "/api/pages/7/")) == 1


def test_an_answer_without_a_needed_field_is_told(stand_in: Any, brain: Brain) -> None:
    stand_in.on("GET", "/api/pages/7/", {"title": "no id"})
    with pytest.raises(ServerError, match="Page is not complete"):
        brain.page(7)


def test_tasks_are_listed_cancelled_and_retried(stand_in: Any, brain: Brain) -> None:
    status = {"task_id": "t1", "status": "cancelled", "kind": "crawl"}
    stand_in.on("GET", "/api/tasks/", {"items": [status], "next_cursor": None})
    stand_in.on("POST", "/api/tasks/t1/cancel/", status)
    stand_in.on("POST", "/api/tasks/t1/retry/", {**status, "status": "queued"})
    assert [task.kind for task in brain.tasks(status="cancelled", limit=5)] == ["crawl"]
    assert stand_in.seen[0].path == "/api/tasks/?status=cancelled&limit=5"
    assert brain.cancel("t1").status == "cancelled"
    assert brain.retry("t1").status == "queued"


def test_waiting_follows_from_where_the_task_is(stand_in: Any, brain: Brain) -> None:
    path = ("GET", "/api/tasks/t1/")
    stand_in.on(*path, {"task_id": "t1", "status": "processing", "last_seq": 2})
    stand_in.on(*path, {"task_id": "t1", "status": "completed", "last_seq": 3})
    failed = {"type": "task_failed", "error": "The first try."}
    stand_in.task("t1", [failed, {"type": "task_update"}, {"type": "task_completed", "result": {}}])
    assert brain.wait("t1").status == "completed"


def test_waiting_for_a_failed_task_raises(stand_in: Any, brain: Brain) -> None:
    failed = {"task_id": "t1", "status": "failed", "error": "It broke.", "error_code": "x"}
    stand_in.on("GET", "/api/tasks/t1/", failed)
    with pytest.raises(TaskFailed, match="It broke") as caught:
        brain.wait("t1")
    assert (caught.value.task_id, caught.value.code) == ("t1", "x")


def test_schedules_run_by_hand(stand_in: Any, brain: Brain) -> None:
    entry = {"name": "clean_up", "cron": "0 * * * *", "next_fire_at": "2026-01-01T01:00:00Z"}
    stand_in.on("GET", "/api/schedules/", {"items": [entry]})
    stand_in.on("POST", "/api/schedules/clean_up/run/", ACCEPTED, 202)
    stand_in.on("GET", "/api/tasks/t1/", {"task_id": "t1", "status": "queued"})
    assert [schedule.name for schedule in brain.schedules()] == ["clean_up"]
    assert brain.run_schedule("clean_up").task_id == "t1"


def test_conversations(stand_in: Any, brain: Brain) -> None:
    talk = {"id": "c1", "title": "Ovens", "message_count": 1}
    turn = {"role": "user", "text": "How?", "at": "2026-01-01T00:00:00Z"}
    stand_in.on("GET", "/api/conversations/", {"items": [talk], "next_cursor": None})
    stand_in.on("GET", "/api/conversations/c1/", {**talk, "messages": [turn]})
    stand_in.on("DELETE", "/api/conversations/c1/", None, 204)
    assert [found.title for found in brain.conversations()] == ["Ovens"]
    assert brain.conversation("c1").messages[0].text == "How?"
    brain.delete_conversation("c1")


def test_tokens(stand_in: Any, brain: Brain) -> None:
    stand_in.on("POST", "/api/auth/tokens/", {"id": "k1", "name": "laptop", "token": "abc"}, 201)
    stand_in.on("GET", "/api/auth/tokens/", {"items": [{"id": "k1", "name": "laptop"}]})
    stand_in.on("DELETE", "/api/auth/tokens/k1/", None, 204)
    assert brain.create_token("laptop").token == "abc"
    assert stand_in.seen[0].json == {"name": "laptop"}
    assert brain.tokens()[0].token is None
    brain.delete_token("k1")


def test_health_is_answered_in_any_case(stand_in: Any, brain: Brain) -> None:
    stand_in.on("GET", "/readyz", {"parts": {"llm": "starting"}}, 503)
    stand_in.on("GET", "/readyz", {"parts": {"llm": "ok"}})
    waiting, ready = brain.health(), brain.health()
    assert (waiting.alive, waiting.ready, waiting.details["parts"]) == (
        True,
        False,
        {"llm": "starting"},
    )
    assert (ready.alive, ready.ready) == (True, True)
    with Brain("http://127.0.0.1:1", "token") as nobody:
        assert nobody.health().alive is False
        with pytest.raises(NotReachable):
            nobody.stats()


def test_an_export_appears_whole_or_not_at_all(stand_in: Any, brain: Brain, tmp_path: Path) -> None:
    target = tmp_path / "brain.jsonl"
    target.write_text("older")
    stand_in.on("GET", "/api/export/", {"error": "Away."}, 503)
    stand_in.on("GET", "/api/export/", {"url": "u"})
    with pytest.raises(ServerError):
        brain.export(target)
    assert target.read_text() == "older"
    assert brain.export(target) == len(target.read_bytes())
    assert json.loads(target.read_text()) == {"url": "u"}
    assert list(tmp_path.glob("*.part")) == []


def test_an_export_to_nowhere_is_told(stand_in: Any, brain: Brain, tmp_path: Path) -> None:
    stand_in.on("GET", "/api/export/", {})
    with pytest.raises(ConfigError, match="cannot be written"):
        brain.export(tmp_path / "no" / "folder.jsonl")


def test_an_import_waits_for_all_its_tasks(stand_in: Any, brain: Brain, tmp_path: Path) -> None:
    source = tmp_path / "brain.jsonl"
    source.write_text('{"url": "u"}\n')
    answer = {"task_id": "t2", "status": "processing", "task_ids": ["t1", "t2"], "pages": 1}
    stand_in.on("POST", "/api/import/", answer, 202)
    for task_id in ("t1", "t2"):
        done = {"task_id": task_id, "status": "completed"}
        stand_in.on("GET", f"/api/tasks/{task_id}/", done)
    assert brain.import_(source).pages == 1
    assert stand_in.seen[0].body == b'{"url": "u"}\n'
    assert len(stand_in.seen) == 3
