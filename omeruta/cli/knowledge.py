"""Pages: bring them in, find them, take them along."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from omeruta.cli.server import show_nested
from omeruta.cli.shared import (
    Place,
    as_json,
    clean,
    leaves_running,
    note,
    print_json,
    say,
    table,
    when,
)
from omeruta.library import MODES
from omeruta.models import Added

no_wait = click.option("--no-wait", is_flag=True, help="Print the task's id and return at once.")
file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("url")
@click.option("--max-pages", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--max-depth", type=click.IntRange(min=0), default=5, show_default=True)
@click.option("--include", multiple=True, help="Only addresses like this glob, as */docs/*.")
@click.option("--exclude", multiple=True, help="No addresses like this glob.")
@no_wait
@as_json
@click.pass_obj
def crawl(  # noqa: PLR0913 - click hands over every option by name
    place: Place,
    url: str,
    max_pages: int,
    max_depth: int,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    no_wait: bool,
    as_json: bool,
) -> None:
    """Read a website and remember it."""
    with place.brain() as brain:
        report = brain.crawl(url, max_pages, max_depth, include, exclude, wait=False)
        if not no_wait:
            with leaves_running(report.task_id):
                brain.wait(report.task_id)
                report = brain.crawl_report(report.task_id, url)
    if as_json:
        print_json(report)
    elif no_wait:
        say(report.task_id)
    else:
        say(str(report))


@click.command()
@click.argument("url", required=False)
@click.option("--text", help="A text to add; - reads it from standard input.")
@click.option("--title", help="The title of the text.")
@no_wait
@click.pass_obj
def add(place: Place, url: str | None, text: str | None, title: str | None, no_wait: bool) -> None:
    """Add one page by its address, or a text with a title."""
    if url is None and text is None:
        raise click.UsageError("Give an address, or --text with --title.")
    if text is not None and title is None:
        raise click.UsageError("A text needs a --title.")
    if text == "-":
        text = sys.stdin.read()
    with place.brain() as brain:
        added = brain.add(url=url, text=text, title=title, wait=False)
        if not no_wait:
            with leaves_running(added.task_id):
                added = brain.added(added.task_id)
    _say_added(added)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=file)
@no_wait
@click.pass_obj
def upload(place: Place, paths: tuple[Path, ...], no_wait: bool) -> None:
    """Add files: HTML, markdown, text, PDF or docx."""
    with place.brain() as brain:
        for path in paths:
            added = brain.upload(path, wait=False)
            if not no_wait:
                with leaves_running(added.task_id):
                    added = brain.added(added.task_id)
            _say_added(added)


def _say_added(added: Added) -> None:
    if added.status != "completed":
        say(added.task_id)
    else:
        for page_id in added.page_ids:
            say(f"Added as page {page_id}.")
        for failure in added.failures:
            note(str(failure.get("message") or failure))


@click.command()
@click.argument("topic")
@click.option("--max-urls", type=click.IntRange(1, 50), default=5, show_default=True)
@click.pass_obj
def expand(place: Place, topic: str, max_urls: int) -> None:
    """Find and read new pages on a topic."""
    with place.brain() as brain:
        found = brain.expand(topic, max_urls)
    say(f"{found.pages_added} pages and {found.chunks_added} passages added.")


@click.command()
@click.argument("query")
@click.option("--mode", type=click.Choice(MODES), default="hybrid", show_default=True)
@click.option("--limit", type=click.IntRange(1, 50), default=10, show_default=True)
@click.option("--site", help="Only pages of this site.")
@as_json
@click.pass_obj
def search(
    place: Place, query: str, mode: str, limit: int, site: str | None, as_json: bool
) -> None:
    """Search passages by words, by meaning, or both."""
    with place.brain() as brain:
        hits = brain.search(query, mode, limit, {"site": site} if site else None)
    if as_json:
        print_json(hits)
        return
    if not hits:
        note("Nothing was found.")
    for number, hit in enumerate(hits, 1):
        say(f"{number}. {hit.title or hit.url}  (page {hit.page_id})\n   {hit.url}")
        say("   " + " ".join(clean(hit.text).split())[:300] + "\n")


@click.group()
def pages() -> None:
    """List, read and delete pages."""


@pages.command("list")
@click.option("--q", help="Words in title or address.")
@click.option("--site", help="Only pages of this site.")
@click.option("--status", type=click.Choice(("active", "duplicate", "gone")))
@click.option("--sort", help="fetched_at, title, url or quality; with a leading - downwards.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@as_json
@click.pass_obj
def list_pages(  # noqa: PLR0913 - click hands over every option by name
    place: Place,
    q: str | None,
    site: str | None,
    status: str | None,
    sort: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List pages, last read first."""
    with place.brain() as brain:
        found = list(brain.pages(q, site, status, sort, limit))
    if as_json:
        print_json(found)
        return
    rows = [(p.id, when(p.fetched_at), p.chunks, p.title[:50], p.url) for p in found]
    table(("ID", "READ", "CHUNKS", "TITLE", "ADDRESS"), rows)


@pages.command("show")
@click.argument("page_id", type=int)
@as_json
@click.pass_obj
def show_page(place: Place, page_id: int, as_json: bool) -> None:
    """Print a page's markdown."""
    with place.brain() as brain:
        page = brain.page(page_id)
    if as_json:
        print_json(page)
        return
    note(f"{page.title}\n{page.url}\nRead {when(page.fetched_at)}, {page.chunks} chunks.\n")
    say(page.clean_markdown)


@pages.command("delete")
@click.argument("page_ids", type=int, nargs=-1, required=True)
@click.pass_obj
def delete_pages(place: Place, page_ids: tuple[int, ...]) -> None:
    """Delete pages from the store and every index."""
    with place.brain() as brain:
        for page_id in page_ids:
            brain.delete_page(page_id)
            note(f"Page {page_id} is deleted.")


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export(place: Place, path: Path) -> None:
    """Write every page to a file of gzip-packed JSON lines, as brain.jsonl.gz."""
    with place.brain() as brain:
        size = brain.export(path)
    note(f"{path}: {size:,} bytes.")


@click.command("import")
@click.argument("path", type=file)
@no_wait
@click.pass_obj
def import_(place: Place, path: Path, no_wait: bool) -> None:
    """Take in the pages of an export."""
    with place.brain() as brain:
        taken = brain.import_(path, wait=False)
        if not no_wait:
            for task_id in taken.task_ids:
                with leaves_running(task_id):
                    brain.wait(task_id)
    note(f"Pages {'on their way in' if no_wait else 'taken in'}: {taken.pages}.")


@click.command()
@as_json
@click.pass_obj
def stats(place: Place, as_json: bool) -> None:
    """Counts, sizes, queues and models."""
    with place.brain() as brain:
        told = brain.stats()
    if as_json:
        print_json(dict(told))
    else:
        show_nested(dict(told), 0)
