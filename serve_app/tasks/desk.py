"""What callers do with tasks: hand them in, look at them, cancel them, have them tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from serve_app.domain.errors import BadRequest, Conflict, NotFound, Overloaded, StaleAttempt
from serve_app.domain.people import Principal
from serve_app.domain.tasks import Task, TaskKind, TaskSpec, TaskStatus
from serve_app.settings import Settings
from serve_app.tasks import states
from serve_app.tasks.dispatcher import Dispatcher
from serve_app.tasks.journal import Entry, Step, new_id, told
from serve_app.tasks.runner import Tools, cancelled
from serve_app.tasks.store import Change, TaskQuery, TaskStore, cursor_of, key_of
from serve_app.tasks.wire import plain

MAX_ARGS_BYTES = 256_000
MAX_KEY_CHARS = 200
MAX_PAGE = 200


class Desk:
    """Every call with a `Principal` answers NotFound for the tasks of others."""

    def __init__(
        self,
        store: TaskStore,
        dispatcher: Dispatcher,
        kinds: Mapping[str, TaskKind],
        tools: Tools,
        settings: Settings,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._kinds = kinds
        self._clock = tools.clock
        self._journal = tools.journal
        self._talks = tools.conversations
        self._settings = settings
        self._arriving = 0

    async def submit(self, spec: TaskSpec) -> Task:
        """On disk when this returns. The same idempotency key and user answers with the same task.

        Raises BadRequest, NotFound (conversation), TooLarge, or Overloaded when too many wait.
        """
        return await self._journal.through(self.enqueue(spec, lambda task_id: ()))

    async def enqueue(self, spec: TaskSpec, also: Callable[[str], Sequence[Change]]) -> Task:
        """Accept a task, together with the changes that `also` names for its id."""
        kind = self._kinds.get(spec.kind)
        if kind is None:
            raise BadRequest(f"There is no kind of task named {spec.kind!r}.", field="kind")
        args = plain(spec.args, "args", MAX_ARGS_BYTES)
        key = spec.idempotency_key
        if key is not None:
            if not 0 < len(key) <= MAX_KEY_CHARS:
                raise BadRequest(
                    f"An idempotency key has 1 to {MAX_KEY_CHARS} characters.",
                    field="idempotency_key",
                )
            if earlier := await self._store.keyed_task(spec.user_id, key):
                return earlier
        self._check_room()
        self._arriving += 1
        try:
            return await self._insert(replace(spec, args=args), kind.queue, also)
        except Conflict:
            # Two requests with one key came at once, and the other was first.
            if key is not None and (earlier := await self._store.keyed_task(spec.user_id, key)):
                return earlier
            raise
        finally:
            self._arriving -= 1

    def _check_room(self) -> None:
        most = self._settings.limits.waiting_tasks
        if self._dispatcher.waiting_count() + self._arriving >= most:
            raise Overloaded(
                f"{most} tasks are waiting already. Try again a little later.", retry_after=5.0
            )

    async def _insert(
        self, spec: TaskSpec, queue: str, also: Callable[[str], Sequence[Change]]
    ) -> Task:
        now = self._clock.now()
        task_id = new_id(now)
        talk, changes = await self._talks.join(spec, task_id, new_id(now), now)
        task = Task(
            id=task_id,
            kind=spec.kind,
            args=spec.args,
            user_id=spec.user_id,
            queue=queue,
            status=TaskStatus.QUEUED,
            created_at=now,
            conversation_id=talk,
            parent_id=spec.parent_id,
            idempotency_key=spec.idempotency_key,
            message="Waiting to start.",
        )
        begun = (("task_started", {"message": "Accepted. The work starts as soon as it can."}),)
        entry = await self._journal.insert(task, begun, (*changes, *also(task_id)))
        self._dispatcher.add(entry)
        return entry.task

    async def get(self, task_id: str, who: Principal) -> Task:
        entry = self._dispatcher.find(task_id)
        task = entry.task if entry else await self._store.task(task_id)
        if task is None or not who.may_see(task.user_id):
            raise NotFound("There is no such task.")
        return self._shown(task)

    def _shown(self, task: Task) -> Task:
        """As of now: a result that has had its time is gone, and a queued task says why it waits."""
        now = self._clock.now()
        if task.status is TaskStatus.QUEUED:
            return replace(task, detail=self._dispatcher.reason(task, now))
        return states.expire(task, now)

    async def list_tasks(
        self,
        who: Principal,
        *,
        status: TaskStatus | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Task], str | None]:
        limit = max(1, min(MAX_PAGE, limit))
        query = TaskQuery(
            limit=limit + 1,
            user_id=None if who.is_owner else who.user_id,
            status=status,
            queue=queue,
            before=key_of(cursor),
        )
        found = await self._store.tasks(query)
        page = found[:limit]
        following = cursor_of((page[-1].created_at, page[-1].id)) if len(found) > limit else None
        return [self._shown(task) for task in page], following

    async def cancel(self, task_id: str, who: Principal) -> Task:
        """A queued task ends at once; a running one is told to, and ends within seconds. So do its children."""
        await self.get(task_id, who)
        return await self._journal.through(self._cancel(task_id))

    async def _cancel(self, task_id: str) -> Task:
        entry = self._dispatcher.find(task_id)
        if entry is None:
            raise Conflict("The task is over and cannot be cancelled.")
        task = await self._journal.change(entry, self._cancel_step)
        if task.status.is_final:
            self._dispatcher.drop(entry)
        else:
            self._dispatcher.stop(task_id)
        for child in self._dispatcher.children(task_id):
            with suppress(Conflict):  # it ended by itself meanwhile
                await self._cancel(child.task.id)
        return task

    def _cancel_step(self, task: Task) -> Step:
        if task.status is TaskStatus.PROCESSING:
            return told(states.request_cancel(task))
        return cancelled(task, self.ends())

    async def retry(self, task_id: str, who: Principal) -> Task:
        await self.get(task_id, who)
        return await self._journal.through(self._retry(task_id))

    async def _retry(self, task_id: str) -> Task:
        held = self._dispatcher.find(task_id)
        task = await self._store.task(task_id)
        if task is None or (held is not None and not held.task.status.is_final):
            raise Conflict("The task is not over and cannot be tried again.")
        self._check_room()
        entry = Entry(task)
        try:
            await self._journal.change(entry, lambda t: told(states.retry(t)))
        except StaleAttempt as error:
            raise Conflict("The task is being tried again already.") from error
        self._dispatcher.add(entry)
        return self._shown(entry.task)

    def ends(self) -> tuple[datetime, datetime]:
        """When a task that ends now ended, and when its result may be dropped."""
        now = self._clock.now()
        return now, now + timedelta(seconds=self._settings.tasks.result_ttl)
