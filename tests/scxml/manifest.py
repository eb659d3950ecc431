"""The conformance cases that stand beside the project, and those of them that are expected to fail."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXPECTED_TO_FAIL", "ROOT", "Case", "automatic_cases"]

ROOT = Path(__file__).resolve().parents[3] / "shared" / "scxml"

_WHY = {
    "needs a DOM": "w3c/557 w3c/561",
    "its script is JavaScript, which the Python datamodel is not": "scion/error/error",
    "its script is a JavaScript file that the set does not have": """
        scion/script-src/test0 scion/script-src/test1 scion/script-src/test2 scion/script-src/test3
    """,
}

EXPECTED_TO_FAIL = {each: reason for reason, ids in _WHY.items() for each in ids.split()}
"""Why each is: by id, to be cleared as what they need is built. Strict: one that passes must leave this list."""


@dataclass(frozen=True)
class Case:
    """A row of the manifest."""

    id: str
    path: Path
    section: str
    is_mandatory: bool


def automatic_cases() -> list[Case]:
    """Every case that decides itself."""
    with (ROOT / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [
            Case(row["id"], ROOT / row["file"], row["spec_section"], row["conformance"] == "mandatory")
            for row in csv.DictReader(file)
            if row["manual"] == "no"
        ]
