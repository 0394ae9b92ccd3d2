"""What every SQLite store of the house shares: one owner per file, connections, transactions, migrations."""

from serve_app.storage.lock import StoreLock
from serve_app.storage.migrations import migrate
from serve_app.storage.sqlite import connect, next_epoch, store_errors, transaction

__all__ = ["StoreLock", "connect", "migrate", "next_epoch", "store_errors", "transaction"]
