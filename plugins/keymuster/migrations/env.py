"""What alembic runs: the migrations, on the connection that `Ledger.migrate()` has opened and locked."""

from __future__ import annotations

from alembic import context

from keymuster.ledger_schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
