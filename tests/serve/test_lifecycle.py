"""Deploy, stop, start: what was kept is there, one process owns a store, and other Rays are left alone."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.build import PACKAGES
from support.brain import RunningBrain
from support.many import ManyPages

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def vectors(brain: RunningBrain) -> list[tuple[object, ...]]:
    with sqlite3.connect(brain.home / "knowledge" / "knowledge.sqlite3") as store:
        return store.execute("SELECT * FROM vectors ORDER BY 1").fetchall()


def test_stopped_and_started_it_holds_everything_and_embeds_nothing_again(
    brain: RunningBrain,
) -> None:
    with ManyPages(5, delay=0.0, name="Windmill") as site, brain.client() as client:
        client.crawl(f"{site.url}/page/0", progress=False)
        answer = client.ask("How many boats does the keeper of Windmill 3 count?", agent="qa")
        assert "56 boats" in answer.text
        token = client.create_token("kept").token
        pages = [(page.id, page.content_hash) for page in client.pages()]
        embedded = vectors(brain)
        assert embedded

        brain.down()
        assert "is ready" in brain.up()

    assert vectors(brain) == embedded
    with brain.client(token) as client:
        assert [(page.id, page.content_hash) for page in client.pages()] == pages
        assert client.task(answer.task_id).result is not None
        assert answer.conversation_id is not None
        assert len(client.conversation(answer.conversation_id).messages) == 2
        assert client.stats()["knowledge"]["waiting_for_embedding"] == 0
        again = client.ask("How many boats does the keeper of Windmill 3 count?", agent="qa")
        assert again.sources[0].quote == answer.sources[0].quote


def test_an_up_that_changes_nothing_restarts_nothing(brain: RunningBrain) -> None:
    before = {process.pid for process in brain.titled("ray::")}
    assert "runs already" in brain.up()
    assert before <= {process.pid for process in brain.titled("ray::")}


def test_deploying_changed_code_replaces_the_manager_and_loses_no_task(
    brain: RunningBrain, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, changed / package)
    with open(changed / "serve_app" / "__init__.py", "a") as code:
        code.write("# a later version\n")
    (old,) = brain.titled("ray::TaskManager")
    with brain.client() as client, ManyPages(20, delay=0.2, name="Quarry") as site:
        task_id = client.crawl(f"{site.url}/page/0", max_depth=50, wait=False).task_id
        deployed = subprocess.run(
            [sys.executable, "-m", "deployments.lifecycle", "up"],
            cwd=changed,
            env={**brain.environment, "PYTHONPATH": str(changed)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        (new,) = brain.titled("ray::TaskManager")
        assert new.pid != old.pid
        assert not old.is_running()
        client.wait(task_id, progress=False)
        assert client.crawl_report(task_id).stored == 20
    brain.up()


@pytest.mark.parametrize("store", ["ledger", "knowledge"])
def test_a_second_owner_is_refused_while_the_first_lives(brain: RunningBrain, store: str) -> None:
    code = {
        "ledger": "import asyncio; from serve_app.settings import Settings\n"
        "from serve_app.tasks.store_sqlite import SqliteTaskStore\n"
        "asyncio.run(SqliteTaskStore(Settings().ledger_path, lock_timeout=1).open())",
        "knowledge": "import asyncio; from serve_app.settings import Settings\n"
        "from serve_app.domain.clock import SystemClock\n"
        "from serve_app.inference.embed_hash import HashEmbedder\n"
        "from serve_app.knowledge.base import KnowledgeBase\n"
        "asyncio.run(KnowledgeBase(Settings().knowledge_dir, HashEmbedder(), SystemClock(),"
        " lock_timeout=1).open())",
    }[store]
    refused = brain.run(sys.executable, "-c", code)
    assert refused.returncode != 0
    assert "ConfigError" in refused.stderr
