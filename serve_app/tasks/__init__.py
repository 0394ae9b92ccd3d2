"""The ledger: what was asked of the brain, how far it is, and what came of it.

`TaskEngine` (engine.py) is the whole of it as one object; it keeps its promise through a `TaskStore`.
"""

from serve_app.tasks.engine import TaskEngine
from serve_app.tasks.store import TaskStore
from serve_app.tasks.store_memory import MemoryTaskStore
from serve_app.tasks.store_sqlite import SqliteTaskStore
from serve_app.tasks.wire import status_object

__all__ = ["MemoryTaskStore", "SqliteTaskStore", "TaskEngine", "TaskStore", "status_object"]
