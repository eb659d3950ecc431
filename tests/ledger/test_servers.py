"""The tests' own servers are what they are taken for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.ledger.servers import Server, wheel_binaries


def test_what_is_tested_is_the_postgres_that_was_asked_for(
    postgres_server: Server, postgres_dsn: str, pytestconfig: pytest.Config
) -> None:
    given: Path | None = pytestconfig.getoption("--postgres-bin", default=None)
    binaries = wheel_binaries() if given is None else given
    version = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    with psycopg.connect(postgres_dsn) as connection:
        [found] = connection.execute("SHOW server_version").fetchone() or ("",)
        assert found.split()[0] == version
        assert connection.info.server_version >= 150000, "the oldest that the ledger is for"


def test_a_server_of_another_version_is_not_taken_for_it(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        program = Path(folder) / "postgres"
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.9'\n")
        program.chmod(0o755)
        monkeypatch.setattr(postgres_server, "_binaries", Path(folder))
        with pytest.raises(RuntimeError, match=r"and not 9\.9"):
            postgres_server._check_version()
