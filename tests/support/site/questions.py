"""Questions that the test site answers, and some that it does not."""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """`path` is the one page that holds the answer, `phrase` what a right quote contains.

    Sources wrap their lines, so compare with white space collapsed.
    """

    text: str
    path: str
    phrase: str


QUESTIONS = (
    Question("On which port does Tarn listen after installation?", "/docs/install", "port 7461"),
    Question("How much memory does Tarn need to be installed?", "/docs/install", "96 MB"),
    Question("How long does Tarn keep raw readings by default?", "/docs/retention", "400 days"),
    Question(
        "What is the longest time a reading waits in memory before it is on disk?",
        "/docs/configuration",
        "flush_seconds",
    ),
    Question("At what size is a journal closed?", "/docs/storage", "32 MB"),
    Question(
        "How far apart may readings lie when two series are joined?", "/docs/query", "30 seconds"
    ),
    Question("Which echoes does the radar driver discard?", "/docs/gauges", "45 centimetres"),
    Question("What is the default calm of an alert?", "/docs/alerts", "15 minutes"),
    Question(
        "How often does the mirror ask for new segments?", "/docs/replication", "every 90 seconds"
    ),
    Question("How long does an old key stay valid after rotation?", "/docs/security", "72 hours"),
    Question("How many readings may one write request carry?", "/docs/api", "5,000 readings"),
    Question("Why was the function median removed?", "/docs/functions", "hourly means"),
    Question("How many series does a basin hold at most?", "/docs/limits", "20,000 series"),
    Question(
        "What does the message 'clock moved back' mean?", "/docs/troubleshooting", "newest reading"
    ),
    Question("When was Tarn 2.1 released?", "/news/tarn-2-1", "14 September 2026"),
    Question(
        "How many gauges reported during the winter flood?", "/news/flood-winter", "212 gauges"
    ),
    Question("Where and when does the second gathering take place?", "/news/gathering", "Uppsala"),
    Question(
        "How much rain does one tip of the bucket stand for?",
        "/guides/weather-station",
        "0.2 millimetres",
    ),
    Question(
        "How long does the battery of the river gauge last without sun?",
        "/guides/river-gauge",
        "19 days",
    ),
    Question("What does the Harbour hardware kit cost?", "/prices", "980 euros"),
)

OFF_TOPIC = (
    "Who won the football world cup in 1974?",
    "How do I bake a sourdough bread?",
    "What is the capital of Mongolia?",
    "Which visa do I need to travel to Brazil?",
    "How does photosynthesis turn light into sugar?",
    "What is the boiling point of ethanol?",
)
