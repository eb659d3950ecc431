"""What `stateward doctor` looks at: a database as it is, beside the lifecycles that are to run on it.

Facts are read in one moment of the database, by statements that change nothing, and without making it ready: what is
looked at may be behind, or broken. What is wrong is worked out afterwards, from the facts alone.
"""

from stateward.ledger.checking.ages import Ages
from stateward.ledger.checking.databases import Database, open_database, sqlite_file_of
from stateward.ledger.checking.facts import Facts, Fault, SchemaVersions, Waiting
from stateward.ledger.checking.faults import find_faults

__all__ = [
    "Ages",
    "Database",
    "Facts",
    "Fault",
    "SchemaVersions",
    "Waiting",
    "find_faults",
    "open_database",
    "sqlite_file_of",
]
