"""Where entities and everything that happened to them are kept.

Read `contract.py` for what a store promises, `protocol.py` for how a batch is committed, `committing.py` for how
batches come about.
"""

from stateward.ledger.opening import open_ledger
from stateward.ledger.results import Actor, Applied, Entity, Record

__all__ = ["Actor", "Applied", "Entity", "Record", "open_ledger"]
