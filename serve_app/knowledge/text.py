"""Words, stems and hashes of texts, the same for pages and for queries."""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from functools import lru_cache
from urllib.parse import urlsplit

import snowballstemmer

_WORD = re.compile(r"[^\W_]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # cannot be held as SQLite text
_stemmer = snowballstemmer.stemmer("porter")
_stemmer_lock = threading.Lock()  # a Snowball stemmer keeps the word it works on in itself

STOPWORDS = frozenset(
    [
        "a",
        "about",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


def words(text: str) -> list[str]:
    """The words in order, lower case and without diacritics, as the word index sees them."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _WORD.findall(unicodedata.normalize("NFC", bare))


def key_words(text: str) -> list[str]:
    """The distinct words that carry meaning, in order; all of them when every one is a stopword."""
    distinct = list(dict.fromkeys(words(text)))
    return [w for w in distinct if w not in STOPWORDS] or distinct


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The Porter stem of a word from `words`, equal to the term in the word index."""
    with _stemmer_lock:
        return str(_stemmer.stemWord(word))


def storable(text: str) -> str:
    """The text with what no store can hold (NUL, lone surrogates) replaced, one character for one."""
    return _UNSTORABLE.sub("\ufffd", text)


def content_hash(markdown: str) -> str:
    """Equal for texts that differ in white space, case or Unicode form only."""
    normal = unicodedata.normalize("NFKC", markdown).casefold()
    return digest(" ".join(normal.split()))


def digest(text: str) -> str:
    """128 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def site_of(url: str) -> str:
    """The host of a URL in lower case; empty for addresses without one."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
