"""Documents to markdown: what is kept, what is refused, and that nothing breaks."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawler.decode import decode
from crawler.documents import read
from crawler.extract import MAX_DEPTH, depth, read_html, tidy, tree_text
from crawler.parse import parse
from crawler.reading import Reading, Source, as_time
from serve_app.domain.errors import FetchError
from serve_app.domain.knowledge import Link
from support.site.pdf import text_pdf

URL = "http://tarn.test/docs/page"


def page(body: str, head: str = "") -> Reading:
    html = f"<html><head>{head}</head><body>{body}</body></html>"
    return read_html(Source("html", html.encode(), URL))


PARAGRAPH = "<p>Tarn writes readings to a journal first, and later turns it into a segment.</p>" * 3


def test_headings_lists_tables_and_code_are_kept() -> None:
    markdown = page(
        f"""<article><h1>Storage</h1>{PARAGRAPH}<h2>Limits</h2>
<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<table><tr><td>key|name</td><td>value</td></tr><tr><td>a</td><td>1</td></tr></table>
<pre><code>if x:
    y = max_rows_here</code></pre><p>After the code comes one more paragraph of text.</p></article>"""
    ).markdown
    assert "# Storage" in markdown
    assert "## Limits" in markdown
    assert "- one\n  - inner\n- two" in markdown
    assert "| key\\|name | value |\n|---|---|\n| a | 1 |" in markdown
    assert "```\nif x:\n    y = max_rows_here\n```\n\nAfter" in markdown


def test_what_a_page_says_of_itself_is_read() -> None:
    found = page(
        PARAGRAPH,
        """<title> A  page
</title><base href="/base/"><link rel="canonical" href="/docs/page">
<meta name="author" content="The Tarn project"><meta name="robots" content="NoIndex, follow">
<meta property="article:published_time" content="2026-03-03T10:00:00+02:00">""",
    )
    assert found.title == "A page"
    assert found.author == "The Tarn project"
    assert found.published_at == datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert found.canonical == "http://tarn.test/docs/page"
    assert (found.noindex, found.nofollow) == (True, False)


def test_links_are_absolute_and_carry_their_words() -> None:
    tree = LexborHTMLParser(
        """<html lang="de-CH"><a href="a#x"> one <b>two</b></a><a href="a">again</a>
<a href="/b"><img></a><a href="/b">words</a><a rel="nofollow" href="/c">c</a>
<a href="javascript:x()">d</a><a href="//other.test/">e</a><a>f</a>"""
    )
    head = parse(tree, URL)
    assert head.links == (
        Link("http://tarn.test/docs/a", "one two"),
        Link("http://tarn.test/b", "words"),
        Link("http://other.test/", "e"),
    )
    assert head.language == "de"


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title></title><h1>From the <i>heading</i></h1>", "From the heading"),
        ('<meta property="og:title" content="Given"><title>Other</title>', "Given"),
        ("<p>None at all</p>", "page"),
    ],
)
def test_a_title_is_found(html: str, title: str) -> None:
    assert read_html(Source("html", html.encode(), URL)).title == title


def test_what_trafilatura_misses_comes_from_the_tree() -> None:
    tree = LexborHTMLParser(
        "<nav>menu</nav><main><h2>Prices</h2><ul><li>Brook <b>240</b></li><li>River</li></ul>"
        "<script>x</script></main><footer>imprint</footer>"
    )
    assert tidy(tree_text(tree)) == "## Prices\n\n- Brook 240\n- River"


def test_tidy_makes_valid_markdown() -> None:
    text = "Words\n| a | b |\n| 1 | 2 |\nmax\\_rows\n\n\n\n```\nx\\_y\n| a |\n```\nafter"
    assert tidy(text) == (
        "Words\n\n| a | b |\n|---|---|\n| 1 | 2 |\nmax_rows\n\n```\nx\\_y\n| a |\n```\n\nafter"
    )
    assert tidy(tidy(text)) == tidy(text)


def test_running_text_loses_the_indentation_of_its_source() -> None:
    text = "The gauge\n        stands by\n\tthe weir.\n\n-\n    an item\n  - inner\n    goes on"
    assert (
        tidy(text, from_html=True)
        == "The gauge\nstands by\nthe weir.\n\n- an item\n  - inner\ngoes on"
    )
    assert "\n        stands" in tidy(text)


def test_a_main_text_that_is_only_a_part_gives_way_to_the_tree() -> None:
    def body(answers: int) -> str:
        later = "".join(
            f"<div class='comment'><p>Answer {n}: gauge {n} is read at noon.</p></div>"
            for n in range(answers)
        )
        return f"<main><article>{PARAGRAPH}</article><div id='comments'>{later}</div></main>"

    assert "Answer" not in page(body(3)).markdown
    assert "Answer 59" in page(body(60)).markdown


def test_a_tree_too_deep_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(FetchError) as caught:
        page("<div>" * 300_000)
    assert caught.value.reason == "too_deep"
    siblings = "<p>a<br><li>b" * (MAX_DEPTH * 2) + "<div></div>" * (MAX_DEPTH * 2)
    assert depth(siblings) == 1
    assert depth("<svg>" + "<path d='x'/>" * 5 + "<g></g></svg>") == 2
    assert depth("<div/>" * 5) == 5


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode("latin-1"), None, "é"),
        ("é".encode("latin-1"), "iso-8859-1", "é"),
        (b"\x93a\x94", "latin1", "“a”"),
        (
            b'<meta charset="windows-1251">' + "ж".encode("cp1251"),
            None,
            '<meta charset="windows-1251">ж',
        ),
        ("\ufeffж".encode(), "latin-1", "ж"),
        ("ж".encode("utf-16"), None, "ж"),
        (b"a\xff", "utf-8", "a\ufffd"),
        (b"a", "no-such-charset", "a"),
        (b"61", "hex", "61"),
    ],
)
def test_bytes_become_text(body: bytes, charset: str | None, text: str) -> None:
    assert decode(body, charset) == text


def test_times_are_utc_or_none() -> None:
    assert as_time("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert as_time("2026-01-02T03:04:05Z") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert as_time("yesterday") is None
    assert as_time("0001-01-01T00:00:00+14:00") is None


def test_a_reading_survives_the_wire() -> None:
    reading = Reading(
        "t", "m", "en", "a", datetime(2026, 1, 1, tzinfo=UTC), links=(Link("u", "w"),)
    )
    assert Reading.from_wire(reading.to_wire()) == reading
    assert Reading.from_wire(Reading("t", "m").to_wire()) == Reading("t", "m")


def test_text_and_markdown_stay_as_they_are() -> None:
    got = read(Source("text", b"Intro.\n\n# The head\n\nWords.", name="notes.md"))
    assert got == Reading("The head", "Intro.\n\n# The head\n\nWords.")
    assert read(Source("text", b"First line\nsecond", name="a.txt")).title == "First line"


def test_a_pdf_gives_its_text() -> None:
    got = read(Source("pdf", text_pdf("Gauge RG-7", "Weighs 640 grams."), name="sheet.pdf"))
    assert got == Reading("Gauge RG-7", "Gauge RG-7\nWeighs 640 grams.")


def test_a_word_document_gives_its_parts_in_order() -> None:
    document = docx.Document()
    document.add_heading("Gauges", level=1)
    document.add_paragraph("Measure often.")
    document.add_paragraph("one", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, words in zip(table.rows, (("a", "b|c"), ("1", "2")), strict=True):
        for cell, word in zip(row.cells, words, strict=True):
            cell.text = word
    file = io.BytesIO()
    document.save(file)
    got = read(Source("docx", file.getvalue(), name="g.docx"))
    assert got.title == "Gauges"
    assert got.markdown == (
        "# Gauges\n\nMeasure often.\n\n- one\n\n| a | b\\|c |\n|---|---|\n| 1 | 2 |"
    )


def _zip(name: str, size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * size)
    return file.getvalue()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Source("pdf", b"%PDF-1.4 nothing"), "unreadable"),
        (Source("docx", b"PK nothing"), "unreadable"),
        (Source("docx", _zip("word/document.xml", 100)), "unreadable"),
        (Source("docx", _zip("word/document.xml", 101_000_000)), "too_large"),
        (Source("text", b"  \n"), "empty"),
        (Source("spreadsheet", b"x"), "kind"),
    ],
)
def test_what_can_not_be_read_says_why(source: Source, reason: str) -> None:
    with pytest.raises(FetchError) as caught:
        read(source)
    assert caught.value.reason == reason


TAGS = st.sampled_from(
    ["<p>", "</p>", "<table>", "<tr>", "<td>", "<a href='x'>", "<ul><li>", "<pre>", "<base href='//'>",
     "<meta name=date content='9'>", "<title>", "<!--", "<![CDATA[", "&#x0;", "<script>", "\x00", "|", "```"]
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(TAGS | st.text(max_size=12), max_size=30))
def test_no_page_breaks_the_reader(parts: list[str]) -> None:
    got = read_html(Source("html", "".join(parts).encode("utf-8", "replace"), URL))
    assert Reading.from_wire(got.to_wire()) == got
