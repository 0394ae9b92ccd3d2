"""Tasks, schedules, conversations and tokens of a brain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omeruta.errors import ServerError, TaskCancelled, TaskFailed
from omeruta.events import follow
from omeruta.models import Conversation, Event, Schedule, Task, Token
from omeruta.progress import progress_bar
from omeruta.transport import Transport

PAGE = 50  # items asked for at a time where a listing is limited


class Workshop:
    _http: Transport
    _progress: bool

    def events(self, task_id: str, after: int = 0, timeout: float | None = None) -> Iterator[Event]:
        """A task's events after number `after`: those that were, then those to come, until its last.

        Broken connections are resumed without a gap. Raises NotFound, StillRunning, NotReachable.
        """
        return follow(self._http, task_id, after=after, timeout=timeout)

    def task(self, task_id: str) -> Task:
        """A task's status. Raises NotFound, for somebody else's task too."""
        return Task.from_wire(self._http.get(f"/api/tasks/{task_id}/"))

    def tasks(
        self, status: str | None = None, queue: str | None = None, limit: int | None = None
    ) -> Iterator[Task]:
        """Tasks, newest first, fetched as they are looked at; at most `limit` of them."""
        for wire in listed(self._http, "/api/tasks/", limit, status=status, queue=queue):
            yield Task.from_wire(wire)

    def wait(self, task_id: str, progress: bool = True, timeout: float | None = None) -> Task:
        """Wait until a task is completed. Raises TaskFailed, TaskCancelled, StillRunning."""
        task = self.task(task_id)
        if not task.is_final:
            self._watch(task_id, progress=progress, timeout=timeout, after=task.last_seq)
            task = self.task(task_id)
        if task.status != "completed":
            cancelled = task.status == "cancelled"
            raise _failure(cancelled, task_id, task.error, task.error_code or "")
        return task

    def cancel(self, task_id: str) -> Task:
        """Cancel a task, queued or running. Raises Conflict when it is over."""
        return Task.from_wire(self._http.post(f"/api/tasks/{task_id}/cancel/", {}))

    def retry(self, task_id: str) -> Task:
        """Queue a failed or cancelled task again. Raises Conflict otherwise."""
        return Task.from_wire(self._http.post(f"/api/tasks/{task_id}/retry/", {}))

    def schedules(self) -> list[Schedule]:
        return [Schedule.from_wire(wire) for wire in listed(self._http, "/api/schedules/")]

    def run_schedule(self, name: str) -> Task:
        """Start a schedule's work now. Raises NotFound, Forbidden."""
        answer = self._http.post(f"/api/schedules/{name}/run/", {})
        return self.task(Task.from_wire(answer).task_id)

    def conversations(self, limit: int | None = None) -> Iterator[Conversation]:
        """Conversations, last used first, without their messages."""
        for wire in listed(self._http, "/api/conversations/", limit):
            yield Conversation.from_wire(wire)

    def conversation(self, conversation_id: str) -> Conversation:
        return Conversation.from_wire(self._http.get(f"/api/conversations/{conversation_id}/"))

    def delete_conversation(self, conversation_id: str) -> None:
        self._http.call("DELETE", f"/api/conversations/{conversation_id}/")

    def tokens(self) -> list[Token]:
        return [Token.from_wire(wire) for wire in listed(self._http, "/api/auth/tokens/")]

    def create_token(self, name: str, user_id: str | None = None) -> Token:
        """A new token, for oneself or (as owner) for a user. Its text is answered here and never again."""
        return Token.from_wire(
            self._http.post("/api/auth/tokens/", {"name": name, "user_id": user_id})
        )

    def delete_token(self, token_id: str) -> None:
        self._http.call("DELETE", f"/api/auth/tokens/{token_id}/")

    def _watch(
        self,
        task_id: str,
        on_event: Callable[[Event], None] | None = None,
        *,
        progress: bool = True,
        timeout: float | None = None,
        after: int = 0,
    ) -> Event:
        """Follow a task to its last event, which is answered, with a bar for whoever watches."""
        with progress_bar(self._progress and progress) as show:
            for event in self.events(task_id, after, timeout):
                show(event)
                if on_event is not None:
                    on_event(event)
                if event.is_last:
                    return event
        raise ServerError(f"The events of task {task_id} ended before the task did.")


def outcome(last: Event) -> Mapping[str, Any]:
    """The result that a task's last event brings. Raises TaskFailed, TaskCancelled, ServerError."""
    if last.type == "task_completed":
        result = last.data.get("result")
        if isinstance(result, Mapping):
            return result
        raise ServerError(f"The result of task {last.task_id} is no longer kept.", code="expired")
    error = last.data.get("error")
    reason = error.get("error") if isinstance(error, Mapping) else error
    code = str(last.data.get("error_code") or last.data.get("code") or "")
    raise _failure(last.type == "task_cancelled", last.task_id, reason, code)


def listed(
    http: Transport, path: str, limit: int | None = None, **filters: object
) -> Iterator[Mapping[str, Any]]:
    """The items of a listing, page after page by its cursor."""
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        size = None if left is None else min(PAGE, left)
        body = http.get(path, **filters, limit=size, cursor=cursor)
        items = body.get("items") if isinstance(body, Mapping) else body
        if not isinstance(items, list):
            raise ServerError(f"The brain's answer at {path} is no list.")
        yield from items[:left]
        left = None if left is None else left - len(items)
        following = body.get("next_cursor") if isinstance(body, Mapping) else None
        if not following or following == cursor or not items:
            return
        cursor = str(following)


def _failure(cancelled: bool, task_id: str, reason: object, code: str) -> TaskFailed:
    if cancelled:
        text = str(reason or f"Task {task_id} was cancelled.")
        return TaskCancelled(text, task_id=task_id, code=code or "cancelled")
    return TaskFailed(str(reason or f"Task {task_id} failed."), task_id=task_id, code=code)
