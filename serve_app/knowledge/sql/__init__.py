"""Migrations of the knowledge store. Append only: a file that was released never changes."""
