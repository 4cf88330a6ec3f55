"""Prepares the production stack: makes the bucket of the store if it is missing, and the ledger's tables. May run at each start."""

from __future__ import annotations

import fsspec

from keymuster.orchestration.tasks import place
from keymuster.orchestration.workplace import Workplace


def prepare(work: Workplace) -> None:
    """Everything that must be there before the first run."""
    address, name = work.knobs.store_address, work.knobs.store_connection
    system, path = fsspec.core.url_to_fs(address, **(work.secrets.storage(name) if name else {}))
    bucket = path.split("/")[0]
    if address.startswith("s3://") and not system.exists(bucket):
        system.mkdir(bucket)
    work.ledger.migrate()


if __name__ == "__main__":
    prepare(place())
