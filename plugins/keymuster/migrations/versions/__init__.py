"""One module a revision; `ledger_database.HEAD` names the newest."""
