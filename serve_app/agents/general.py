"""Small talk and questions about the brain itself: rules say what is true, the model talks, marked.

What the brain is and can do is said by rule, because a small model invents it. Everything else is the
model's own reply, under a note that no source stands behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from serve_app.agents import prompts
from serve_app.agents.events import Answer, Step, token, update
from serve_app.agents.request import Desk, Request
from serve_app.agents.smalltalk import reply_to
from serve_app.domain.streams import closing

UNSOURCED = (
    "*No source stands behind this reply: it is the language model's own and was not checked.*\n\n"
)


async def answer(desk: Desk, request: Request) -> AsyncIterator[Step]:
    """Reply by rule, or let the model talk. Raises what the model raises: nothing was said yet."""
    reply = reply_to(request.text)
    if reply is not None:
        yield update(75, "Writing the answer")
        yield token(reply)
        yield Answer(reply, confidence=0.0)
        return
    yield update(60, "Nothing to look up for this")
    yield update(75, "Writing the answer")
    model = await desk.llm.name()
    pieces: list[str] = []
    prompt = prompts.talk(request.text, request.history, request.max_tokens)
    async with closing(desk.llm.stream(prompt)) as deltas:
        async for delta in deltas:
            if delta.text:
                text = delta.text if pieces else UNSOURCED + delta.text.lstrip()
                pieces.append(text)
                yield token(text)
    if not pieces:
        pieces = ["I have nothing to say to this."]
        yield token(pieces[0])
    yield Answer("".join(pieces), confidence=0.0, model_used=model)
