"""The site that the suites share is what it says."""

from __future__ import annotations

import urllib.error
import urllib.request

import pypdfium2
import pytest

from support.site import OFF_TOPIC, QUESTIONS, ExampleSite
from support.site.pdf import text_pdf


def test_it_serves_its_pages_and_counts_what_is_asked() -> None:
    with ExampleSite() as site:
        for path in site.paths:
            with urllib.request.urlopen(site.url + path, timeout=5) as answer:
                assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(site.url + "/missing", timeout=5)
        assert site.hits["/docs/"] == 1
        assert len(site.paths) >= 34


def test_every_question_has_one_right_page() -> None:
    with ExampleSite() as site:
        texts = {}
        for path in site.paths:
            with urllib.request.urlopen(site.url + path, timeout=5) as answer:
                texts[path] = " ".join(answer.read().decode().split())
    assert len(QUESTIONS) == 20
    assert len(OFF_TOPIC) == 6
    for question in QUESTIONS:
        assert question.phrase in texts[question.path], question


def test_the_data_sheet_is_a_pdf() -> None:
    document = pypdfium2.PdfDocument(text_pdf("Line (one)", "Line two"))
    assert "Line (one)" in document[0].get_textpage().get_text_range()
    document.close()
