"""Where entities and everything that happened to them are kept."""

from stateward.ledger.demo import DemoLedger, Entity, Record

__all__ = ["DemoLedger", "Entity", "Record"]
