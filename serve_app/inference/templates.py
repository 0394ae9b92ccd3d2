"""Our own chat templates: messages -> segments of text and control marks.

A template that a model file brings is a program from a stranger, so it is never run; it only tells
which of our families the model was trained on. A message cannot forge a turn: the marks of all
families are broken in its content (`<|im_end|>` becomes `< |im_end|>`), and content is tokenised
with special tokens off. Both are needed: Zephyr's role marks are plain text to its tokeniser, and an
engine that takes one string cannot tell marks from content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve_app.domain.errors import BadRequest
from serve_app.domain.language import ChatMessage

_MARKS = re.compile(r"<(?=\|[A-Za-z0-9_]+\|>|/?s>)")
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that is tokenised in one go. In a control segment special tokens are recognised."""

    text: str
    control: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """`head` is the leading system message, which other requests are likely to share; then the `rest`."""

    head: tuple[Segment, ...]
    rest: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.head + self.rest)


@dataclass(frozen=True, slots=True)
class Template:
    """How a family of models marks turns: what opens (with `{role}`) and closes a message.

    `stop` are marks that such a model may write out as plain text to begin the next turn itself.
    """

    name: str
    opens: tuple[Segment, ...]
    closes: tuple[Segment, ...]
    stop: tuple[str, ...]

    def render(self, messages: Sequence[ChatMessage]) -> Prompt:
        """The prompt up to where the assistant begins to write. Raises BadRequest on no or odd messages."""
        if not messages:
            raise BadRequest("There is no message to answer.", field="messages")
        segments: list[Segment] = []
        head = 0
        for number, message in enumerate(messages):
            if message.role not in _ROLES:
                raise BadRequest(f"A message has the unknown role `{message.role}`.", field="role")
            content = Segment(neutralise(message.content))
            segments += [*self._opening(message.role), content, *self.closes]
            if number == 0 and message.role == "system":
                head = _after_last_control(segments)
        segments += self._opening("assistant")
        return Prompt(_merged(segments[:head]), _merged(segments[head:]))

    def _opening(self, role: str) -> list[Segment]:
        return [Segment(s.text.replace("{role}", role), s.control) for s in self.opens]


CHATML = Template(
    name="chatml",
    opens=(Segment("<|im_start|>", control=True), Segment("{role}\n")),
    closes=(Segment("<|im_end|>", control=True), Segment("\n")),
    stop=("<|im_end|>", "<|im_start|>"),
)
ZEPHYR = Template(
    name="zephyr",
    opens=(Segment("<|{role}|>\n"),),
    closes=(Segment("</s>", control=True), Segment("\n")),
    stop=("<|user|>", "<|system|>", "<|assistant|>"),
)
PLAIN = Template(
    name="plain", opens=(Segment("{role}: "),), closes=(Segment("\n\n"),), stop=("\nuser:",)
)


def recognise(hint: str) -> Template:
    """The family that a model's own template, or its name, points to; PLAIN when it is none of ours."""
    lowered = hint.lower()
    if "<|im_start|>" in lowered or any(name in lowered for name in ("smollm", "qwen")):
        return CHATML
    if "<|user|>" in lowered or any(name in lowered for name in ("tinyllama", "zephyr")):
        return ZEPHYR
    return PLAIN


def neutralise(content: str) -> str:
    """Break every control mark in a message's content, so that it cannot open or close a turn."""
    return _MARKS.sub("< ", content)


def _after_last_control(segments: Sequence[Segment]) -> int:
    """Cut only behind a special token: cutting plain text would change how it is tokenised."""
    return max((i + 1 for i, segment in enumerate(segments) if segment.control), default=0)


def _merged(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Join neighbouring text, so that a tokeniser sees whole stretches as it did in training."""
    merged: list[Segment] = []
    for segment in segments:
        if merged and not segment.control and not merged[-1].control:
            merged[-1] = Segment(merged[-1].text + segment.text)
        elif segment.text:
            merged.append(segment)
    return tuple(merged)
