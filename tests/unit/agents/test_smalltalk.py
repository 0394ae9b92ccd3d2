"""Rules speak to whole messages only, and say true things."""

from __future__ import annotations

import pytest

from serve_app.agents.smalltalk import Reply, reply_to


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("Hi", Reply.HELLO),
        ("good morning everyone!", Reply.HELLO),
        ("Thank you so much for your help", Reply.WELCOME),
        ("ok thanks", Reply.WELCOME),
        ("Perfect!", Reply.GOOD),
        ("bye", Reply.GOODBYE),
        ("Hello, who are you?", Reply.ABILITIES),
        ("help", Reply.ABILITIES),
        ("Hey, how are you doing?", Reply.NATURE),
        ("Are you an AI?", Reply.NATURE),
        ("17+25", Reply.ARITHMETIC),
        ("what is 3 times 4?", Reply.ARITHMETIC),
        ("How much is (2 + 3) * 4", Reply.ARITHMETIC),
        ("What time is it?", Reply.NOW),
    ],
)
def test_whole_messages_are_answered(message: str, reply: Reply) -> None:
    assert reply_to(message) == reply


@pytest.mark.parametrize(
    "message",
    [
        "Thanks! Who led the Panthers in sacks?",
        "Hi, when was it founded?",
        "What can you tell me about the Normans?",
        "Who are you going to vote for in Poland?",
        "help me find the population of Graz",
        "2019",
        "The 1966-1969 seasons",
        "good morning vietnam release date",
        "What is 5G?",
        "",
        "hi " * 200,
    ],
)
def test_everything_else_is_left_to_the_agents(message: str) -> None:
    assert reply_to(message) is None
