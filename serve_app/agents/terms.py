"""Words and stems, as every comparison of texts in this room sees them.

They are the knowledge base's own (Porter stems of folded words), so that the weights of
`SearchResult.idf` and the stems here name the same things.
"""

from __future__ import annotations

import re

from serve_app.knowledge.text import stem, words


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Function words: they carry no subject, so they neither find, support nor contradict anything.
STOPWORDS = _set(
    """
    a about above after again all also although am an and another any are aren as at be because
    been before being below between both but by can could couldn did didn do does doesn doing
    don done down during each either else ever every few for from further had hadn has hasn have
    haven having he her here hers herself him himself his how however i if in into is isn it its
    itself just least less let like ll many may me might mine more most much must my myself
    neither nor of off on once only onto or other others our ours out over own per please quite
    rather re s same shall she should shouldn since so some such t than that the their theirs
    them themselves then there these they this those though through thus to too toward towards
    under until up upon us very via was wasn we were weren what whatever when where whether
    which while who whom whose why will with within would wouldn yes yet you your yours yourself
    """
)
# They turn a sentence round, so they count as content wherever support is checked.
NEGATIONS = _set(
    """
    cannot never no nobody none not nothing nowhere without
    """
)
NUMBER_WORDS = _set(
    """
    billion dozen eight eighteen eighty eleven fifteen fifth fifty first five forty four
    fourteen fourth half hundred million nine nineteen ninety one second seven seventeen seventy
    six sixteen sixty ten third thirteen thirty thousand three twelve twenty two zero
    """
)
_ASKS_FOR_NUMBER = re.compile(
    r"\bwhen\b|\bhow (?:many|much|long|old|far|often|large|big|tall|high|fast|heavy|wide|deep)\b|"
    r"\b(?:what|which) (?:year|version|date|percent|percentage|share|number|size|price|age|day)\b|"
    r"\bwhat (?:is|was|are|were) the (?:capacity|price|cost|number|percentage|population|amount|size|"
    r"height|weight|length|speed|age|date)\b",
    re.IGNORECASE,
)
# At the head of a request they say what to do, not what it is about.
ASKING_WORDS = _set(
    """
    compare define describe explain give know list say show summarise summarize tell want
    """
)
# Words of every text: they name no aspect that texts could be compared by.
GENERAL_WORDS = _set(
    """
    able allow available become best better big called case cause change common contain
    different early example general good great group help high higher important include includes
    including kind known large larger largest late later long low lower made main make makes
    making need new number often order part particular people place point possible provide range
    result same seen set several show similar single small smaller start take term thing time
    times type typically use uses using usually various way ways well work works world year
    years
    """
)


def stems(text: str) -> list[str]:
    """Stems of all words, in order."""
    return [stem(word) for word in words(text)]


def content_words(text: str) -> list[str]:
    """Words that carry a subject, each once, in order of first appearance."""
    return list(dict.fromkeys(w for w in words(text) if w not in STOPWORDS))


def content_stems(text: str) -> list[str]:
    """Stems of `content_words`, each once, in order of first appearance."""
    return list(dict.fromkeys(stem(word) for word in content_words(text)))


def asked_about(text: str) -> list[str]:
    """Content stems of a request without the words at its head that only ask."""
    carrying = content_words(text)
    while len(carrying) > 1 and carrying[0] in ASKING_WORDS:
        carrying = carrying[1:]
    return list(dict.fromkeys(stem(word) for word in carrying))


def asks_for_number(question: str) -> bool:
    """Whether an answer needs a figure: a count, a measure, a date."""
    return _ASKS_FOR_NUMBER.search(question) is not None


def numbers(text: str) -> frozenset[str]:
    """The words of a text that begin with a digit or spell a number."""
    return frozenset(word for word in words(text) if word[0].isdigit() or word in NUMBER_WORDS)
