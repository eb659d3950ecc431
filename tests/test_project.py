"""What holds for the repository as a whole, whatever stands in it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"

# Written so that this file does not hold what it looks for.
REGISTRY_HOST = re.compile(r"pypi[.]org|pythonhosted[.]|npmjs[.]|deb[.]debian[.]|:/{2}\S+/simple\b")
MACHINE_PATH = re.compile(r"(?<![\w.\-~/])/(work|root|home)/|/opt/(pypi|wheels)")

HASHED_PIN = re.compile(r"(?P<name>[a-z0-9-]+)==\S+( ; [^-]+?)?( --hash=sha256:[0-9a-f]{64})+")


def read_repository() -> dict[str, str]:
    """Every text file that is in the repository or is about to be, by its path."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts: dict[str, str] = {}
    for name in listing.split("\0"):
        path = ROOT / name
        if not path.is_file():  # the last, empty name; a file deleted but still in the index
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            texts[name] = content.decode()
    return texts


def read_pins(name: str) -> list[str]:
    """The logical lines of a requirements file: comments dropped, continued lines joined."""
    text = (REQUIREMENTS / name).read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    return [re.sub(r"\s+", " ", line).strip() for line in text.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize("forbidden", [REGISTRY_HOST, MACHINE_PATH], ids=["registry host", "machine path"])
def test_no_file_names_where_it_was_made(forbidden: re.Pattern[str]) -> None:
    texts = read_repository()
    assert "pyproject.toml" in texts
    found = [
        f"{name}:{number}: {line}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_machine_path"),
    [
        ("/" + "work/main", True),
        ("see '/" + "root/.cache'", True),
        ("src/stateward/work/effects.py", False),
        ("../work/", False),
    ],
)
def test_a_machine_path_is_told_from_a_relative_one(text: str, is_machine_path: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is is_machine_path


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["base.txt", "dev.txt", "bench.txt"])
def test_requirements_are_pinned_with_hashes_and_name_no_address(name: str) -> None:
    pins = read_pins(name)
    assert pins
    # A line that starts with an option (an index, a find-links address) is no pin either.
    assert [pin for pin in pins if not HASHED_PIN.fullmatch(pin)] == []
    assert "://" not in (REQUIREMENTS / name).read_text()


@pytest.mark.parametrize("name", ["dev.txt", "bench.txt"])
def test_every_environment_runs_what_base_pins(name: str) -> None:
    assert set(read_pins("base.txt")) <= set(read_pins(name))


def test_base_requirements_are_the_dependencies_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert read_pins("base.in") == project["dependencies"]


def test_every_extra_is_installed_for_the_checks() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras.pop("all") == [f"stateward[{','.join(sorted(extras))}]"]
    assert {each for packages in extras.values() for each in packages} <= set(read_pins("dev.in"))


def test_importing_stateward_loads_no_web_database_or_command_line_module() -> None:
    heavy = {
        "asyncio", "click", "http", "httpx", "logging", "prometheus_client", "pytest", "rich", "sqlalchemy", "sqlite3",
        "standardwebhooks", "starlette", "uvicorn",
    }  # fmt: skip
    code = "import sys; before = set(sys.modules); import stateward; print(*set(sys.modules) - before)"
    command = [sys.executable, "-I", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "stateward" in loaded
    assert heavy.isdisjoint(loaded)
