"""Alembic's folder: how the ledger's tables came about. Run by `Ledger.migrate()`, never by hand."""
