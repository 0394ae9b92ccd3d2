"""Where to read on: addresses that known pages link to and that were never read."""

from __future__ import annotations

import math
import re
import sqlite3

from serve_app.domain.knowledge import LinkCandidate
from serve_app.knowledge.lookup import inverse_frequencies, query_words
from serve_app.knowledge.text import stem, words

_CONSIDERED = 2000  # addresses weighed for one topic
_TEXTS = 500  # characters of link words kept

_UNREAD = """
SELECT l.url, count(DISTINCT l.page_id) AS inlinks, group_concat(l.text, ' ') AS text
FROM links l JOIN pages p ON p.id = l.page_id AND p.status = 'active'
WHERE ({matches})
  AND NOT EXISTS (SELECT 1 FROM pages q WHERE q.url = l.url)
  AND NOT EXISTS (SELECT 1 FROM pages q WHERE q.fetched_url = l.url)
  AND NOT EXISTS (SELECT 1 FROM frontier f WHERE f.url = l.url AND f.state IN ('done', 'failed'))
GROUP BY l.url ORDER BY inlinks DESC, l.url LIMIT ?
"""


def link_candidates(connection: sqlite3.Connection, topic: str, limit: int) -> list[LinkCandidate]:
    """Best first. The score is the share of the topic's words (weighed by rarity) that the link's words
    and address hold, times 1 + ln(pages that link to it)."""
    weights = inverse_frequencies(connection, query_words(topic))
    if not weights:
        return []
    matches = " OR ".join("l.text LIKE ? OR l.url LIKE ?" for _ in weights)
    # A stem may end in a letter that the word does not have ("happi"), so its last letter is left out.
    patterns = [f"%{term[:-1] if len(term) > 4 else term}%" for term in weights for _ in range(2)]
    rows = connection.execute(_UNREAD.format(matches=matches), (*patterns, _CONSIDERED))
    total = sum(weights.values())
    found = []
    for row in rows:
        stems = {stem(word) for word in words(f"{row['text']} {_path_words(row['url'])}")}
        fit = sum(weight for term, weight in weights.items() if term in stems) / total
        if fit > 0:
            score = fit * (1 + math.log(row["inlinks"]))
            text = row["text"].strip()[:_TEXTS]
            found.append(LinkCandidate(row["url"], text, row["inlinks"], round(score, 4)))
    return sorted(found, key=lambda link: (-link.score, link.url))[:limit]


def _path_words(url: str) -> str:
    return re.sub(r"[/_\-.?=&%+]", " ", url.partition("://")[2])
