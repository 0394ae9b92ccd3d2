"""Migrations of the ledger: `NNNN_name.sql`, append-only."""
