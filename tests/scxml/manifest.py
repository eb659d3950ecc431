"""The conformance cases that stand beside the project, and those of them that are expected to fail yet."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXPECTED_TO_FAIL", "ROOT", "Case", "automatic_cases"]

ROOT = Path(__file__).resolve().parents[3] / "shared" / "scxml"

_WHY = {
    "needs <invoke>, which is read and written but not run": """
        w3c/192 w3c/207 w3c/215 w3c/216 w3c/220 w3c/223 w3c/224 w3c/226 w3c/228 w3c/229 w3c/232 w3c/233 w3c/234
        w3c/236 w3c/239 w3c/240 w3c/241 w3c/243 w3c/244 w3c/245 w3c/253 w3c/276 w3c/338 w3c/422 w3c/530
    """,
    "needs the Basic HTTP event processor": """
        w3c/201 w3c/509 w3c/510 w3c/518 w3c/519 w3c/520 w3c/522 w3c/531 w3c/532 w3c/534 w3c/567 w3c/577
    """,
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
