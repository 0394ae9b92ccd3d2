"""Text, markdown, PDF and docx to markdown. Runs in the killable processes of `pool.py` only."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator

import docx
import pypdfium2
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from docx.text.paragraph import Paragraph

from crawler.decode import decode
from crawler.extract import MAX_MARKDOWN, read_html, tidy
from crawler.reading import Reading, Source
from serve_app.domain.errors import FetchError

MAX_PAGES = 1000
MAX_UNPACKED = 100_000_000
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_STYLE_LEVEL = re.compile(r"^Heading ([1-6])$")


def read(source: Source) -> Reading:
    """Read any kind of document. Raises FetchError (`unreadable`, `too_deep`, `kind`)."""
    reader = _READERS.get(source.kind)
    if reader is None:
        raise FetchError(f"Documents of kind {source.kind!r} are not read.", reason="kind")
    return reader(source)


def read_text(source: Source) -> Reading:
    """Plain text or markdown, as it is; the first heading, or the first line, is the title."""
    text = decode(source.body, source.charset)
    return _reading(source, text)


def read_pdf(source: Source) -> Reading:
    """A PDF's text, page by page. Scanned pages without text yield none."""
    try:
        document = pypdfium2.PdfDocument(source.body)
    except pypdfium2.PdfiumError as error:
        raise FetchError(f"The PDF can not be read: {error}.", reason="unreadable") from error
    try:
        title = document.get_metadata_value("Title").strip()
        text = "\n\n".join(_pdf_pages(document))
    finally:
        document.close()
    return _reading(source, text, title)


def _pdf_pages(document: pypdfium2.PdfDocument) -> Iterator[str]:
    length = 0
    for number in range(min(len(document), MAX_PAGES)):
        page = document[number]
        part = page.get_textpage()
        text = part.get_text_range().replace("\r\n", "\n").replace("\r", "\n").replace("\ufffe", "")
        part.close()
        page.close()
        length += len(text)
        yield text
        if length > MAX_MARKDOWN:
            return


def read_docx(source: Source) -> Reading:
    """A Word document's headings, paragraphs, lists and tables, in their order."""
    try:
        with zipfile.ZipFile(io.BytesIO(source.body)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise FetchError("The document is too large when unpacked.", reason="too_large")
        document = docx.Document(io.BytesIO(source.body))
        title = document.core_properties.title or ""
        blocks = [_block(item) for item in document.iter_inner_content()]
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        PackageNotFoundError,
    ) as error:
        raise FetchError("The Word document can not be read.", reason="unreadable") from error
    return _reading(source, "\n\n".join(block for block in blocks if block), title)


def _block(item: Paragraph | Table) -> str:
    if isinstance(item, Table):
        rows = [
            [" ".join(cell.text.split()).replace("|", r"\|") for cell in row.cells]
            for row in item.rows
        ]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    text = item.text.strip()
    style = item.style.name if item.style and item.style.name else ""
    level = _STYLE_LEVEL.match(style)
    if text and (level or style == "Title"):
        return "#" * (int(level.group(1)) if level else 1) + " " + text
    return f"- {text}" if text and style.startswith("List") else text


def _reading(source: Source, text: str, title: str = "") -> Reading:
    markdown = tidy(text)[:MAX_MARKDOWN]
    if not markdown:
        raise FetchError("The document holds no text.", reason="empty")
    return Reading(title=(title or _title(markdown) or source.name)[:300], markdown=markdown)


def _title(markdown: str) -> str:
    heading = _HEADING.search(markdown)
    first = markdown.split("\n", 1)[0].strip("#* ")
    return heading.group(1) if heading else first[:120]


_READERS: dict[str, Callable[[Source], Reading]] = {
    "html": read_html,
    "text": read_text,
    "pdf": read_pdf,
    "docx": read_docx,
}
