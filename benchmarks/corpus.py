"""Made-up pages about made-up places, each with facts of its own: the same ones in every run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

NAMES = [
    "Aldmoor",
    "Brackwell",
    "Carnfell",
    "Dunmere",
    "Elmsford",
    "Fenwick",
    "Garstang",
    "Holmrook",
    "Ivinghoe",
    "Jarlsby",
]
KINDS = (
    "lighthouse",
    "observatory",
    "windmill",
    "ferry",
    "archive",
    "quarry",
    "sawmill",
    "orchard",
)
THINGS = ("visitors", "lamps", "ledgers", "ropes", "bells", "crates", "lenses", "barrels")
VERBS = ("keeps", "counts", "repairs", "lends", "stores", "sells", "inspects", "paints")
CHUNKS_A_PAGE = 8


@dataclass(frozen=True, slots=True)
class Fact:
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    markdown: str


@cache
def _world(count: int) -> tuple[tuple[Text, ...], tuple[Fact, ...]]:
    chance = random.Random(7)
    made, known = [], []
    for n in range(max(1, count // CHUNKS_A_PAGE)):
        place = f"{NAMES[n % len(NAMES)]} {KINDS[(n // len(NAMES)) % len(KINDS)]} {n}"
        sections = []
        for k in range(CHUNKS_A_PAGE):
            thing, verb = THINGS[k], VERBS[(k + n) % len(VERBS)]
            number = 1000 + n * 97 + k * 13
            sentences = [f"The {place} {verb} {number} {thing} in a year."]
            for _ in range(9):
                a, b = chance.sample(THINGS, 2)
                sentences.append(
                    f"On a {chance.choice(('calm', 'windy', 'cold', 'bright'))} day the keeper moves "
                    f"the {a} past the {b} and writes it into the book of {place}."
                )
            sections.append(f"## {thing.title()} of the {place}\n\n{' '.join(sentences)}\n")
            known.append(
                Fact(f"How many {thing} does the {place} {verb[:-1]} in a year?", str(number))
            )
        made.append(Text(f"The {place}", f"# The {place}\n\n" + "\n".join(sections)))
    return tuple(made), tuple(known)


def pages(chunks: int) -> tuple[Text, ...]:
    """Pages that make about so many chunks."""
    return _world(chunks)[0]


def facts(count: int, chunks: int = 1000) -> list[Fact]:
    """Questions spread over all pages, each with the number that answers it."""
    known = _world(chunks)[1]
    return list(known[:: max(1, len(known) // count)][:count])
