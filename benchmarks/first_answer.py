"""How soon does a person see something? An idle brain with about 1,000 chunks, asked over its WebSocket.

Submit: POST until the task id is there, which is after it is on disk. First quote: from sending `start_chat` to
the `sources` event. First token: to the first text. Model: to the first sentence that the model wrote and the
check released, where there was one. Start: from `up` on an installed machine until every part answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import websockets

from benchmarks.corpus import Fact, facts, pages
from benchmarks.harness import BrainUnderTest
from benchmarks.report import Aim, Report

SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds from sending the question; None where it did not happen."""

    quote: float
    token: float
    model: float | None
    whole: float
    right: bool


async def ask(brain: BrainUnderTest, fact: Fact) -> Timing:
    headers = {"Authorization": f"Bearer {brain.token}"}
    async with (
        asyncio.timeout(60),
        websockets.connect(brain.socket, additional_headers=headers) as s,
    ):
        began = time.perf_counter()
        await s.send(json.dumps({"action": "start_chat", "message": fact.question}))
        quote = token = model = None
        pieces = 0
        while True:
            event = json.loads(await s.recv())
            now = (time.perf_counter() - began) * 1000
            if event["type"] == "sources":
                quote = now
            elif event["type"] == "token":
                pieces += 1
                token = token or now
                model = model or (now if pieces > 1 else None)
            elif event["type"] == "task_completed":
                text = event["result"]["response"]
                return Timing(quote or now, token or now, model, now, fact.answer in text)
            elif event["type"] in ("task_failed", "task_cancelled", "error"):
                raise RuntimeError(f"the question failed: {event}")


def submits(brain: BrainUnderTest, questions: Sequence[Fact]) -> list[float]:
    """Milliseconds of each submit. The answer is waited for, so that each finds an idle brain."""
    found = []
    with httpx.Client(
        base_url=brain.url, headers={"Authorization": f"Bearer {brain.token}"}
    ) as http:
        for fact in questions:
            began = time.perf_counter()
            answer = http.post("/api/agents/async/chat_async/", json={"message": fact.question})
            found.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
            path = answer.json()["check_status_url"]
            while http.get(path).json()["status"] in ("queued", "processing"):
                time.sleep(0.05)
    return found


def load(brain: BrainUnderTest, count: int) -> int:
    """Store pages until there are about `count` chunks; answers how many there are."""
    with httpx.Client(
        base_url=brain.url, headers={"Authorization": f"Bearer {brain.token}"}, timeout=60
    ) as http:
        items = [{"title": page.title, "text": page.markdown} for page in pages(count)]
        for start in range(0, len(items), 50):
            task = http.post("/api/pages/", json={"items": items[start : start + 50]}).json()
            while http.get(task["check_status_url"]).json()["status"] in ("queued", "processing"):
                time.sleep(0.2)
        return int(http.get("/api/stats/").json()["knowledge"]["chunks"])


def pss_megabytes(processes: Sequence[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def warm_start(brain: BrainUnderTest) -> float:
    """Seconds of what `make up` does on an installed machine: check the models, start, wait until ready."""
    began = time.perf_counter()
    for module in (["serve_app.inference.weights"], ["deployments.lifecycle", "up"]):
        subprocess.run(
            [sys.executable, "-m", *module], env=brain.environment, check=True, capture_output=True
        )
    return time.perf_counter() - began


def run(questions: int, chunks: int, starts: int) -> Report:
    report = Report("first_answer")
    with tempfile.TemporaryDirectory() as folder:
        brain = BrainUnderTest(Path(folder) / "home")
        try:
            seconds = []
            for _ in range(starts):
                brain.down()
                seconds.append(warm_start(brain))
            report.series("start until ready", seconds, "s")
            report.figures["chunks"] = load(brain, chunks)
            time.sleep(SETTLE_SECONDS)
            asked = facts(questions)
            asyncio.run(ask(brain, asked[0]))  # the first one warms what is made on first use
            report.series("submit", submits(brain, asked), "ms")
            timings = [asyncio.run(ask(brain, fact)) for fact in asked]
            report.figures["memory, all processes (PSS MB)"] = round(
                pss_megabytes(brain.processes())
            )
        finally:
            brain.down()
    report.series("first quote", [t.quote for t in timings], "ms")
    report.series("first token", [t.token for t in timings], "ms")
    if written := [t.model for t in timings if t.model is not None]:
        report.series("first sentence of the model", written, "ms")
    report.series("whole answer", [t.whole for t in timings], "ms")
    report.figures["answers that hold the fact"] = (
        f"{sum(t.right for t in timings)} of {len(timings)}"
    )
    figures = report.figures
    report.aims = [
        Aim("submit p50", figures["submit"]["p50"], 10, "ms"),
        Aim("first quote p50", figures["first quote"]["p50"], 300, "ms"),
        Aim("ready", figures["start until ready"]["p50"], 60, "s"),
        Aim("memory", figures["memory, all processes (PSS MB)"], 3000, "MB"),
    ]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="ends within two minutes")
    quick = parser.parse_args().quick
    run(questions=15 if quick else 60, chunks=1000, starts=1 if quick else 3).tell()


if __name__ == "__main__":
    main()
