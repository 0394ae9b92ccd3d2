from __future__ import annotations

import io

from rich.console import Console

from omeruta import Answer, Event
from omeruta.progress import describe, progress_bar

NASTY = "<script>alert(1)</script>"


def answer(text: str, **source: str) -> Answer:
    fields = {"n": 1, "title": "Oven", "url": "http://docs.test/oven", "quote": "Bake.", **source}
    return Answer.from_result({"response": text, "sources": [fields]}, "t1")


def test_printed_it_is_text_and_a_line_per_source() -> None:
    assert str(answer("Bake it. [1]")) == "Bake it. [1]\n\n[1] Oven  http://docs.test/oven"
    assert str(Answer.from_result({"response": "Hello."}, "t1")) == "Hello."


def test_a_quote_that_the_text_brings_is_not_shown_twice() -> None:
    shown = answer("> Bake\n> at 200. [1]", quote="Bake\nat 200.")
    assert "blockquote" not in shown._repr_html_()
    assert shown._repr_markdown_().count("Bake") == 1


def test_a_quote_that_the_text_lacks_is_shown() -> None:
    shown = answer("It is baked. [1]")
    assert "<blockquote>Bake.</blockquote>" in shown._repr_html_()
    assert "> Bake." in shown._repr_markdown_()


def test_nothing_that_a_page_or_model_wrote_becomes_html() -> None:
    shown = answer(NASTY, title=f"{NASTY}](x)", quote=f"{NASTY} quote")
    assert "<script" not in shown._repr_html_()
    assert "<script" not in shown._repr_markdown_()
    assert "script>\\](x)](<http://docs.test/oven>)" in shown._repr_markdown_()


def test_only_web_addresses_become_links() -> None:
    shown = answer("x", url="javascript:alert(1)")
    assert "href" not in shown._repr_html_()
    assert "javascript" not in shown._repr_markdown_()
    breaking = answer("x", url='http://a.test/"><b>')
    assert "<b>" not in breaking._repr_html_()


def update(**data: object) -> Event:
    return Event("task_update", "t1", data=data)


def test_the_status_line_has_message_and_counts() -> None:
    assert describe(update(message="Reading", counts={"found": 3, "stored": 1})) == (
        "Reading  found 3 · stored 1"
    )
    assert describe(update()) == ""


def bar_output(enabled: bool, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with progress_bar(enabled, console) as show:
        show(update(progress=40, message="Reading [1/2]"))
        show(Event("token", "t1", data={"text": "x"}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_bar_is_drawn_where_somebody_watches() -> None:
    drawn = bar_output(enabled=True, terminal=True)
    assert "Reading [1/2]" in drawn
    assert "40%" in drawn


def test_the_bar_is_silent_in_pipes_and_when_switched_off() -> None:
    assert bar_output(enabled=True, terminal=False) == ""
    assert bar_output(enabled=False, terminal=True) == ""
