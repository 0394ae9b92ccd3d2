"""Pages of a brain: add, search, list, read, delete, and take all of them along."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omeruta.errors import BadRequest, ConfigError, TooLarge
from omeruta.models import Added, Hit, Imported, Page
from omeruta.transport import Transport
from omeruta.workshop import Workshop, listed

MODES = ("hybrid", "lexical", "semantic")
MAX_UPLOAD = 100_000_000  # bytes; the brain's own bound is a setting and usually lower


class Library(Workshop):
    _http: Transport

    def search(
        self,
        query: str,
        mode: str = "hybrid",
        limit: int = 10,
        filters: Mapping[str, object] | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """Passages, best first. `mode` is hybrid, lexical or semantic.

        `filters`: any of site, language, page_ids, fetched_after, min_quality.
        """
        body = {"query": query, "mode": mode, "limit": limit, "filters": filters}
        if explain:
            body["explain"] = True
        answer = self._http.post("/api/search/", body, repeat=True)
        return [Hit.from_wire(hit) for hit in answer.get("hits", ())]

    def add(
        self,
        url: str | None = None,
        text: str | None = None,
        title: str | None = None,
        items: Sequence[Mapping[str, str]] | None = None,
        wait: bool = True,
    ) -> Added:
        """Add one page by its address, a text (markdown) with a title, or up to 500 `items` of either form."""
        if url is None and text is None and items is None:
            raise BadRequest("Give an address, a text with a title, or items.", field="url")
        single = {"url": url, "text": text, "title": title}
        body: dict[str, object] = {k: value for k, value in single.items() if value is not None}
        if items is not None:
            body["items"] = [dict(item) for item in items]
        task_id = self._http.submit("/api/pages/", json=body)
        return self.added(task_id) if wait else Added(task_id, "processing")

    def upload(self, path: str | os.PathLike[str], wait: bool = True) -> Added:
        """Add a file: HTML, markdown, text, PDF or docx. Raises ConfigError when it cannot be read."""
        file = Path(path)
        try:
            if file.stat().st_size > MAX_UPLOAD:
                raise TooLarge(f"{file} is larger than {MAX_UPLOAD // 1_000_000} MB.", field="file")
            content = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror or error}.") from error
        task_id = self._http.submit("/api/files/", files={"file": (file.name, content)})
        return self.added(task_id) if wait else Added(task_id, "processing")

    def pages(
        self,
        q: str | None = None,
        site: str | None = None,
        status: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Page]:
        """Pages without their text, fetched as they are looked at; at most `limit` of them.

        `sort`: fetched_at, title, url or quality, with a leading `-` for the largest first.
        """
        for wire in listed(
            self._http, "/api/pages/", limit, q=q, site=site, status=status, sort=sort
        ):
            yield Page.from_wire(wire)

    def page(self, page_id: int) -> Page:
        """A page with its markdown. Raises NotFound."""
        return Page.from_wire(self._http.get(f"/api/pages/{page_id}/"))

    def delete_page(self, page_id: int) -> None:
        """Gone from the store and every index when this returns. Raises NotFound."""
        self._http.call("DELETE", f"/api/pages/{page_id}/")

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write every page to a file (gzip-packed JSON lines). Answers its size in bytes.

        The file appears only when it is complete: a broken export leaves an older file as it was.
        """
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        size = 0
        try:
            with self._http.stream("GET", "/api/export/") as response, partial.open("wb") as out:
                for chunk in response.iter_bytes():
                    size += out.write(chunk)
            partial.replace(target)
        except OSError as error:
            raise ConfigError(f"{target} cannot be written: {error.strerror or error}.") from error
        finally:
            partial.unlink(missing_ok=True)
        return size

    def import_(self, path: str | os.PathLike[str], wait: bool = True) -> Imported:
        """Take in the pages of an export. A page that is there already is not stored twice."""
        file = Path(path)
        try:
            with file.open("rb") as content:
                answer = self._http.call("POST", "/api/import/", content=content)
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror or error}.") from error
        imported = Imported.from_wire(answer)
        for task_id in imported.task_ids if wait else ():
            self.wait(task_id)
        return imported

    def added(self, task_id: str, progress: bool = True) -> Added:
        """Wait for a task that adds pages, and what became of them. Raises TaskFailed."""
        task = self.wait(task_id, progress)
        result = task.result or {}
        return Added(
            task_id,
            task.status,
            page_ids=tuple(result.get("pages") or ()),
            counts=task.counts,
            failures=tuple(result.get("failed") or ()),
        )
