"""The ledger on SQLite."""

from stateward.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
