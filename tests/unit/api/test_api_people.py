"""Logins, tokens, users, conversations, schedules, statistics and health."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import httpx
import pytest

from serve_app.api import health, stats
from serve_app.api.fake import SmallBrain
from serve_app.domain.errors import Unavailable


async def test_a_login_tells_who_it_is(nobody: httpx.AsyncClient, brain: SmallBrain) -> None:
    answer = await nobody.post("/api/auth/login/", json={"token": brain.members["ada"]})
    told = answer.json()
    assert answer.status_code == 200
    assert (told["user"]["name"], told["user"]["role"]) == ("ada", "member")
    assert told["token_id"]


BAD_LOGINS: Any = [({"token": "wrong"}, 401), ({}, 400), ({"token": ""}, 400), ([], 400)]


async def test_a_bad_login(nobody: httpx.AsyncClient) -> None:
    for body, status in BAD_LOGINS:
        answer = await nobody.post("/api/auth/login/", json=body)
        assert answer.status_code == status
        assert {"error", "code"} <= set(answer.json())


async def test_a_token_is_made_told_once_and_deleted(
    ada: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    made = await ada.post("/api/auth/tokens/", json={"name": "laptop"})
    token = made.json()["token"]
    assert made.status_code == 201
    assert "=" not in token
    listed = await ada.get("/api/auth/tokens/")
    assert token not in listed.text
    assert {t["name"] for t in listed.json()["items"]} == {"ada", "laptop"}
    header = {"Authorization": f"Bearer {token}"}
    assert (await nobody.get("/api/tasks/", headers=header)).status_code == 200
    gone = await ada.delete(f"/api/auth/tokens/{made.json()['id']}/")
    assert gone.status_code == 204
    assert (await nobody.get("/api/tasks/", headers=header)).status_code == 401


async def test_members_make_no_tokens_for_others(
    owner: httpx.AsyncClient, ada: httpx.AsyncClient, brain: SmallBrain
) -> None:
    bob = brain.principals[brain.members["bob"]].user_id
    body = {"name": "x", "user_id": bob}
    assert (await ada.post("/api/auth/tokens/", json=body)).status_code == 403
    made = await owner.post("/api/auth/tokens/", json=body)
    assert (made.status_code, made.json()["user_id"]) == (201, bob)
    assert (await ada.delete(f"/api/auth/tokens/{made.json()['id']}/")).status_code == 404


async def test_owners_manage_users(owner: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    made = await owner.post("/api/auth/users/", json={"name": "eve"})
    assert (made.status_code, made.json()["role"]) == (201, "member")
    eve = made.json()["id"]
    token = await owner.post("/api/auth/tokens/", json={"name": "t", "user_id": eve})
    header = {"Authorization": f"Bearer {token.json()['token']}"}
    assert (await nobody.get("/api/stats/", headers=header)).status_code == 200
    assert eve in [u["id"] for u in (await owner.get("/api/auth/users/")).json()["items"]]
    assert (await owner.delete(f"/api/auth/users/{eve}/")).status_code == 204
    assert (await nobody.get("/api/stats/", headers=header)).status_code == 401
    assert (await owner.delete(f"/api/auth/users/{eve}/")).status_code == 404
    bad = await owner.post("/api/auth/users/", json={"name": "x", "role": "king"})
    assert (bad.status_code, bad.json()["field"]) == (400, "role")


async def test_the_last_owner_stays(owner: httpx.AsyncClient, brain: SmallBrain) -> None:
    me = brain.principals[brain.owner].user_id
    assert (await owner.delete(f"/api/auth/users/{me}/")).status_code == 409


async def test_members_manage_no_users(ada: httpx.AsyncClient) -> None:
    for answer in (
        await ada.get("/api/auth/users/"),
        await ada.post("/api/auth/users/", json={"name": "x"}),
        await ada.delete("/api/auth/users/x/"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_conversations_are_kept_renamed_and_deleted(ada: httpx.AsyncClient) -> None:
    asked = await ada.post("/api/agents/tinyllama/chat/", json={"message": "When?"})
    talk = asked.json()["conversation_id"]
    url = f"/api/conversations/{talk}/"
    held = (await ada.get(url)).json()
    assert [m["role"] for m in held["messages"]] == ["user", "assistant"]
    assert held["messages"][1]["html"] == "<p>At <strong>nine</strong> [1].</p>\n"
    assert "html" not in held["messages"][0]
    renamed = await ada.patch(url, json={"title": " Ferries "})
    assert renamed.json()["title"] == "Ferries"
    listed = (await ada.get("/api/conversations/")).json()
    assert [t["title"] for t in listed["items"]] == ["Ferries"]
    assert "messages" not in listed["items"][0]
    assert (await ada.delete(url)).status_code == 204
    assert (await ada.get(url)).status_code == 404


async def test_conversations_come_in_pages(ada: httpx.AsyncClient) -> None:
    for n in range(3):
        await ada.post("/api/agents/tinyllama/chat/", json={"message": f"q{n}"})
    first = (await ada.get("/api/conversations/", params={"limit": 2})).json()
    cursor = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await ada.get("/api/conversations/", params=cursor)).json()
    assert len(first["items"]) == 2
    assert len(rest["items"]) == 1


BAD_TITLES: Any = [{}, {"title": " "}, {"title": "x" * 201}, {"name": "x"}]


async def test_a_bad_title_is_refused(ada: httpx.AsyncClient) -> None:
    for body in BAD_TITLES:
        answer = await ada.patch("/api/conversations/any/", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_schedules_are_shown_changed_and_run(
    owner: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    shown = (await ada.get("/api/schedules/")).json()["items"]
    assert len(shown) == 4
    name = shown[0]["name"]
    url = f"/api/schedules/{name}/"
    for answer in (await ada.post(f"{url}run/"), await ada.patch(url, json={"enabled": False})):
        assert answer.status_code == 403
    changed = await owner.patch(url, json={"cron": "5 4 * * *", "enabled": False})
    assert (changed.json()["cron"], changed.json()["enabled"]) == ("5 4 * * *", False)
    run = await owner.post(f"{url}run/")
    assert run.status_code == 202
    status = await owner.get(run.json()["check_status_url"])
    assert status.json()["kind"] == shown[0]["kind"]
    assert (await owner.post("/api/schedules/none/run/")).status_code == 404
    for body in ({}, {"cron": "often, please"}, {"cron": "61 * * * *"}, {"enabled": "maybe"}):
        assert (await owner.patch(url, json=body)).status_code == 400


async def test_statistics_name_all_parts(ada: httpx.AsyncClient, page_id: int) -> None:
    told = (await ada.get("/api/stats/")).json()
    assert told["knowledge"]["pages"] == 1
    assert set(told["queues"]) == {"ai_high_priority", "ai_processing", "crawling", "embeddings"}
    assert told["models"]["language_model"] == "echo"
    assert told["models"]["embedder"]["dim"] == 64


async def test_a_part_that_is_away_does_not_hide_the_others(
    ada: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> str:
        raise Unavailable("The language model is starting.")

    async def silent() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(stats, "PATIENCE", 0.05)
    monkeypatch.setattr(brain.services.language_model, "name", away)
    monkeypatch.setattr(brain.services.embedder, "info", silent)
    told = (await ada.get("/api/stats/")).json()
    assert told["models"]["language_model"]["error"] == "The language model is starting."
    assert told["models"]["embedder"]["code"] == "unavailable"
    assert "pages" in told["knowledge"]


async def test_alive_and_ready(
    nobody: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await nobody.get("/healthz")).json() == {"status": "ok"}
    ready = await nobody.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    brain.health["knowledge"] = "The index is being read."
    waiting = await nobody.get("/readyz")
    assert waiting.status_code == 503
    assert waiting.json()["error"] == "Not ready yet: knowledge."
    assert waiting.json()["parts"]["knowledge"] == "The index is being read."
    assert waiting.headers["retry-after"] == "1"

    async def silent() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(health, "PATIENCE", 0.05)
    brain.app.state.services = _with_health(brain, silent)
    assert (await nobody.get("/readyz")).status_code == 503

    async def away() -> None:
        raise Unavailable("The ledger is restarting.")

    brain.app.state.services = _with_health(brain, away)
    told = await nobody.get("/readyz")
    assert told.json()["parts"] == {"brain": "The ledger is restarting."}


def _with_health(brain: SmallBrain, check: object) -> object:
    return dataclasses.replace(brain.services, health=check)  # type: ignore[arg-type]
