"""The ledgers of `tests/ledger`."""

from tests.ledger.conftest import (  # noqa: F401
    make_ledger,
    postgres_binaries,
    postgres_dsn,
    postgres_server,
)
