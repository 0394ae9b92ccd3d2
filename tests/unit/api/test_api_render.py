"""Markdown to safe HTML: nothing that runs, nothing that is fetched."""

from __future__ import annotations

import re

import pytest

from serve_app.api.render import MAX_CHARS, safe_html

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "<javascript:alert(1)>",
    "![x](https://elsewhere.example/pixel.png)",
    "![x][r]\n\n[r]: https://elsewhere.example/pixel.png",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "<iframe src=https://a.example></iframe>",
    "<style>*{background:url(https://a.example)}</style>",
    "`<script>`",
    "```<script>\n</script>\n```",
    "| <b onclick=x> |\n|-|\n| <form action=x> |",
    "<a href=javascript:x>y</a>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
]
ALLOWED = re.compile(
    r"</?(?:p|br|hr|h[1-6]|[uo]l|li|blockquote|strong|em|s|code|pre|a|table|thead|tbody|t[rhd])\b"
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_becomes_harmless(text: str) -> None:
    html = safe_html(text)
    for tag in re.findall(r"<[^>]*>", html):
        assert ALLOWED.match(tag), tag
        assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
    for address in re.findall(r'href="([^"]*)"', html):
        assert address.startswith(("http://", "https://", "mailto:"))
    assert "src=" not in re.sub(r"&lt;.*?&gt;", "", html)


def test_links_open_apart_and_tell_nothing() -> None:
    html = safe_html("[docs](https://a.example/b)")
    assert 'href="https://a.example/b"' in html
    assert 'target="_blank"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_markdown_is_kept() -> None:
    html = safe_html("# Title\n\n1. *a*\n2. **b**\n\n| x | y |\n|---|---|\n| 1 | 2 |")
    for part in ("<h1>Title</h1>", "<em>a</em>", "<strong>b</strong>", "<td>2</td>"):
        assert part in html


def test_a_picture_is_shown_as_its_words() -> None:
    assert safe_html("![a <b> chart](https://a.example/c.png)") == "<p>a &lt;b&gt; chart</p>\n"


def test_an_overlong_text_is_shown_as_it_is() -> None:
    html = safe_html("*a* <b>" + "x" * MAX_CHARS)
    assert html.startswith("<pre>*a* &lt;b&gt;x")
