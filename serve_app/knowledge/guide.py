"""The brain's own documentation as pages, so that it can answer questions about itself."""

from __future__ import annotations

import re
from pathlib import Path

from serve_app.domain.knowledge import SYSTEM, PageDraft

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "guide", _PACKAGE.parent / "docs" / "guide")  # installed; checkout
_TITLE = re.compile(r"^# +(.+?)[ #]*$", re.MULTILINE)


def load_guide() -> list[PageDraft]:
    """One page per markdown file, in order of their names; none when there is no guide."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    return read_guide(folder) if folder else []


def read_guide(folder: Path) -> list[PageDraft]:
    return [_page(path) for path in sorted(folder.glob("*.md"))]


def _page(path: Path) -> PageDraft:
    markdown = path.read_text(encoding="utf-8")
    heading = _TITLE.search(markdown)
    url = f"omeruta://guide/{path.stem}"
    return PageDraft(
        url=url,
        fetched_url=url,
        title=heading[1] if heading else path.stem.replace("-", " ").capitalize(),
        markdown=markdown,
        language="en",
        source="docs",
        collection=SYSTEM,
    )
