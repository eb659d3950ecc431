"""docs/scxml.md: its blocks are run, its limits are those of the code, and its conformance table is measured."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from stateward.scxml import run, values, xml
from stateward.scxml.cases import run_case
from stateward.scxml.python import builtins, formats, syntax
from tests.scxml.manifest import EXPECTED_TO_FAIL, ROOT

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docs" / "scxml.md").read_text(encoding="utf-8")


def test_the_limits_are_those_of_the_code() -> None:
    limits = (
        f"{xml.BYTES_LIMIT:,}\nbytes", f"{xml.ELEMENTS_LIMIT:,} elements", f"{xml.DEPTH_LIMIT} levels",
        f"{values.SIZE_LIMIT:,} units", f"and {values.DEPTH_LIMIT} levels", f"integers of {values.INT_BITS_LIMIT} bits",
        f"precisions of {formats.WIDTH_LIMIT}", f"scripts of {syntax.TEXT_LIMIT:,} characters",
        f"and {syntax.NESTING_LIMIT} levels", f"calls {run.CALL_DEPTH_LIMIT} levels",
    )  # fmt: skip
    for limit in limits:
        assert limit in TEXT
    assert run.STEP_LIMIT == 1_000_000, "a million steps"


def test_the_functions_are_all_named() -> None:
    listed = re.search(r"^- Functions: `(.*?)`\.$", TEXT, re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert listed[1].split() == sorted(builtins.BUILTINS)


def test_the_conformance_table_is_what_is_measured() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    with (ROOT / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        group = "SCION" if row["id"].startswith("scion/") else f"W3C, {row['conformance']}"
        counts[group, "all"] += 1
        if row["manual"] == "no":
            counts[group, "decide"] += 1
            passed = run_case(ROOT / row["file"]).passed
            counts[group, "pass" if passed else _need(EXPECTED_TO_FAIL[row["id"]])] += 1
    columns = ("all", "decide", "pass", "<invoke>", "HTTP", "DOM", "JavaScript")
    table = [
        f"| {group} | {' | '.join(str(counts[group, each]) for each in columns)} |"
        for group in ("W3C, mandatory", "W3C, optional", "SCION")
    ]
    between = TEXT.partition("<!-- conformance -->\n")[2].partition("<!-- end -->")[0].splitlines()
    assert between[2:] == table


def _need(reason: str) -> str:
    return next(each for each in ("<invoke>", "HTTP", "DOM", "JavaScript") if each in reason)
