"""The SDK and the real API, so that neither drifts from the other. Only the work behind it is a script."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from omeruta import BadRequest, Brain, NotFound, Source, TaskFailed, Unauthenticated
from serve_app.api.fake import small_brain


class Door:
    """A small brain served over HTTP by a thread of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.url = self.owner = self.member = ""

    def __enter__(self) -> Door:
        self._thread.start()
        assert self._up.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)

    async def _serve(self) -> None:
        async with small_brain(self._home) as brain:
            self.owner, self.member = brain.owner, await brain.add_member("ada")
            self._server = uvicorn.Server(uvicorn.Config(brain.app, log_level="error", ws="none"))
            with socket.create_server(("127.0.0.1", 0)) as listening:
                self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
                self._up.set()
                await self._server.serve([listening])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with Door(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def brain(door: Door) -> Iterator[Brain]:
    with Brain(door.url, door.owner) as client:
        yield client


def test_asking(brain: Brain) -> None:
    heard: list[str] = []
    answer = brain.ask(
        "When does the ferry leave?", on_event=lambda event: heard.append(event.type)
    )
    assert answer.text == "At **nine** [1]."
    assert "<strong>nine</strong>" in answer.html
    assert answer.sources == (
        Source(1, "Ferries", "https://a.example/ferries", "The ferry leaves at nine.", 0.9),
    )
    assert heard.index("sources") < heard.index("token")
    assert heard[-1] == "task_completed"
    assert answer.conversation_id is not None
    again = brain.ask("And on Sunday?", conversation_id=answer.conversation_id)
    assert again.conversation_id == answer.conversation_id
    talk = brain.conversation(answer.conversation_id)
    assert [message.role for message in talk.messages] == ["user", "assistant"] * 2


def test_streaming_adds_up_to_the_stored_answer(brain: Brain) -> None:
    events = list(brain.ask_stream("When?"))
    text = "".join(event.text for event in events)
    assert text == events[-1].data["result"]["response"]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_research_analysis_and_expansion(brain: Brain) -> None:
    assert brain.research("ferries", expand=False, max_sources=2).agent == "qa"
    assert brain.analyze(["https://a.example/"], type="summary").sources
    assert brain.expand("ferries", max_urls=1).pages_added == 0


def test_adding_and_crawling(brain: Brain, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# Note\n\nText.")
    assert brain.add(url="https://a.example/").page_ids == (1,)
    assert brain.add(title="T", text="Body.").page_ids == (1,)
    assert brain.add(items=[{"url": "https://a.example/"}]).page_ids == (1,)
    assert brain.upload(note).page_ids == (1,)
    report = brain.crawl("https://a.example/", max_pages=3, include=["*/docs/*"])
    assert report.status == "completed"


def test_failures_are_the_brains_own_sentences(brain: Brain, door: Door) -> None:
    with pytest.raises(BadRequest) as caught:
        brain.ask("  ")
    assert caught.value.field == "query"
    with pytest.raises(BadRequest, match="http"):
        brain.crawl("nonsense")
    with pytest.raises(TaskFailed, match="The script says to fail") as failed:
        brain.ask("Please fail.")
    assert brain.task(failed.value.task_id).status == "failed"
    with Brain(door.url, "wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.stats()


def test_a_task_is_cancelled_and_tried_again(brain: Brain) -> None:
    task_id = brain.submit_question("Please wait.")
    cancelled = brain.cancel(task_id)
    give_up = time.monotonic() + 10
    while not cancelled.is_final and time.monotonic() < give_up:
        time.sleep(0.02)
        cancelled = brain.task(task_id)
    assert cancelled.status == "cancelled"
    assert brain.retry(task_id).status in ("queued", "processing")
    assert any(task.task_id == task_id for task in brain.tasks(limit=5))
    brain.cancel(task_id)


def test_a_member_does_not_see_the_owners_tasks(brain: Brain, door: Door) -> None:
    task_id = brain.submit_question("When?")
    with Brain(door.url, door.member) as ada:
        with pytest.raises(NotFound):
            ada.task(task_id)
        with pytest.raises(NotFound):
            list(ada.events(task_id))


def test_listings_search_and_statistics(brain: Brain) -> None:
    assert list(brain.pages(limit=5)) == []
    assert brain.search("ferry", mode="lexical", filters={"site": "a.example"}) == []
    assert [schedule.name for schedule in brain.schedules()] != []
    assert "knowledge" in brain.stats()
    assert brain.health().ready
    assert brain.run_schedule("embed_pending").kind == "embed_pending"
    with pytest.raises(NotFound):
        brain.page(999)


def test_tokens(brain: Brain, door: Door) -> None:
    made = brain.create_token("laptop")
    assert made.token is not None
    with Brain(door.url, made.token) as other:
        assert made.id in [token.id for token in other.tokens()]
    brain.delete_token(made.id)
    assert made.id not in [token.id for token in brain.tokens()]


def test_an_export_is_a_file_that_import_reads(brain: Brain, tmp_path: Path) -> None:
    path = tmp_path / "brain.jsonl.gz"
    assert brain.export(path) > 0
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    with pytest.raises(BadRequest, match="no pages"):
        brain.import_(path)
