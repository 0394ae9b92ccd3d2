"""Words and stems agree with the word index; hashes ignore what does not matter."""

from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.knowledge.text import content_hash, key_words, site_of, stem, storable, words


def _terms(text: str) -> list[str]:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61 remove_diacritics 2')"
    )
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'row')")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    terms = [row[0] for row in connection.execute("SELECT term FROM v")]
    connection.close()
    return sorted(terms)


def test_stems_are_the_terms_of_the_index() -> None:
    text = "Running engines were happily nationalised; ponies, Café Münster, déjà_vu 42nd agreed!"
    assert sorted({stem(word) for word in words(text)}) == _terms(text)


def test_stopwords_are_left_out_unless_they_are_all_there_is() -> None:
    assert key_words("What is the Serve replica of a replica?") == ["serve", "replica"]
    assert key_words("who are you") == ["who", "are", "you"]
    assert key_words("?!") == []


def test_content_hash_ignores_space_case_and_form() -> None:
    assert content_hash("The  ﬁrst\nline") == content_hash("the first line ")
    assert content_hash("one") != content_hash("two")


@given(st.text(alphabet=st.characters(), max_size=50))
@settings(max_examples=50, deadline=None)
def test_any_text_can_be_stored_with_its_offsets(text: str) -> None:
    kept = storable(text + "\x00\ud800")
    assert len(kept) == len(text) + 2
    connection = sqlite3.connect(":memory:")
    (length,) = connection.execute("SELECT length(?)", (kept,)).fetchone()
    connection.close()
    assert length == len(kept)


def test_sites() -> None:
    assert site_of("https://Docs.Example.org:8443/a") == "docs.example.org"
    assert site_of("omeruta://guide/start") == "guide"
    assert site_of("not a url") == ""
    assert site_of("http://[broken") == ""
