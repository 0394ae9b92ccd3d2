"""What is said by rule: greetings, thanks, and what the brain is, can and cannot do. Pure.

A small model invents answers to these, so it is not asked. A rule fits a whole message only, because
people greet before they ask: “Thanks! Who wrote it?” is a question.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Reply(StrEnum):
    ABILITIES = (
        "I am Omeruta Brain, a knowledge base that runs on this machine. I can\n\n"
        "- answer questions from the pages I hold, with quotes and their sources;\n"
        "- read a website or single pages when you add them;\n"
        "- compare, sum up or judge the quality of pages whose addresses you give me;\n"
        "- research a topic: say what I know, find and read new sources, and report.\n\n"
        "When my sources do not hold an answer, I say so."
    )
    NATURE = (
        "I am a program: Omeruta Brain, a knowledge base with a language model beside it. "
        "I have no feelings, but I am running. What would you like to know?"
    )
    ARITHMETIC = "I do not calculate: my language model gets sums wrong, and I would rather say so than guess."
    NOW = "I cannot know that: I see only the pages I have read, neither the present moment nor live data."
    GOODBYE = "Goodbye. I keep what I know."
    WELCOME = "You are welcome."
    HELLO = "Hello. Ask me anything that the pages I hold may answer."
    GOOD = "Good. What would you like to know next?"


_HELLO = (
    r"(?:hi|hello|hey|hiya|howdy|yo|greetings|welcome back|good (?:morning|afternoon|evening|day))"
)
_THANKS = r"(?:thanks|thank you|thank u|thx|ty|cheers|many thanks|much appreciated)"
_BYE = r"(?:bye|bye bye|goodbye|good night|see you|see ya|farewell)"
_GOOD = (
    r"(?:great|nice|cool|perfect|awesome|excellent|well done|good job|ok|okay|got it|i see|fine)"
)
_FILLER = (
    r"(?:there|all|everyone|brain|omeruta|again|friend|my friend|buddy|a lot|a bunch|so much|very much"
    r"|later|tomorrow|soon|then|for now|to you|(?:that|this|it) (?:was|is) (?:very |really |so )?"
    r"(?:helpful|great|nice|useful|good|kind|perfect)|for (?:your|the|all|that|this)(?: \w+){0,3}+)"  # gives nothing back: many ways to read it hang
)


def _whole(start: str, more: str = "") -> re.Pattern[str]:
    """A message that is `start`, followed by nothing but fillers and `more`."""
    rest = rf"(?:\W+(?:{_FILLER}{'|' + more if more else ''}))*"
    return re.compile(rf"^\W*{start}{rest}\W*$", re.IGNORECASE)


_GREETED = rf"(?:(?:{_HELLO}|{_THANKS}|{_GOOD})(?:\W+{_FILLER})?\W+)?"

# In order: the first that fits is said.
_RULES: tuple[tuple[re.Pattern[str], Reply], ...] = (
    (
        _whole(
            rf"{_GREETED}(?:who are you|what are you|what can you do(?: for (?:me|us))?|what do you do"
            r"|what can you help (?:me )?with|how can you help(?: me)?|what(?:'s| is) your (?:name|purpose)"
            r"|tell me about yourself|introduce yourself|(?:please )?help(?: me)?(?: please)?)"
        ),
        Reply.ABILITIES,
    ),
    (
        _whole(
            rf"{_GREETED}(?:how are you(?: (?:doing|today|feeling|doing today))?|how do you feel(?: today)?"
            r"|how(?:'s| is) it going|are you (?:really )?(?:an? )?(?:human|robot|bot|chatbot|ai|person|machine|alive|real|conscious))"
        ),
        Reply.NATURE,
    ),
    (
        _whole(
            r"(?:(?:can you )?(?:what(?:'s| is)|how much is|calculate|compute|solve)\s+)?"
            r"[(\d][\d\s.,()]*(?:(?:[-+*/x×÷^%]|plus|minus|times|divided by)[\s(]*\d[\d\s.,()]*)+=?"
        ),
        Reply.ARITHMETIC,
    ),
    (
        _whole(
            rf"{_GREETED}(?:what(?:'s| is) the (?:time|date|weather)|what (?:time|day|date) is it"
            r"|how(?:'s| is) the weather|what(?:'s| is) today'?s date)(?: (?:like|now|today|outside|right now|tomorrow))*"
        ),
        Reply.NOW,
    ),
    (_whole(rf"{_GREETED}{_BYE}", rf"{_BYE}|{_THANKS}"), Reply.GOODBYE),
    (_whole(rf"(?:{_GOOD}\W+)?{_THANKS}", f"{_THANKS}|{_GOOD}"), Reply.WELCOME),
    (_whole(_HELLO, _HELLO), Reply.HELLO),
    (_whole(_GOOD, _GOOD), Reply.GOOD),
)


def reply_to(message: str) -> str | None:
    """The reply that a rule gives to the whole of a message, or None."""
    if len(message) > 200:  # nobody greets that long, and the patterns need not read it
        return None
    return next((str(reply) for pattern, reply in _RULES if pattern.search(message)), None)
