"""The ledger on PostgreSQL."""

from stateward.ledger.postgres.ledger import AsyncPostgresLedger, PostgresLedger

__all__ = ["AsyncPostgresLedger", "PostgresLedger"]
