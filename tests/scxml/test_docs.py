"""docs/scxml.md: its blocks are run, its limits are those of the code, and its conformance table is measured."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from stateward.scxml import durable, listening, messages, posting, processor, reader, run, session, values, xml
from stateward.scxml.cases import run_case
from stateward.scxml.python import builtins, formats, syntax
from tests.scxml.manifest import EXPECTED_TO_FAIL, ROOT

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docs" / "scxml.md").read_text(encoding="utf-8")


def test_the_limits_are_those_of_the_code() -> None:
    limits = (
        f"{xml.BYTES_LIMIT:,}\nbytes", f"{xml.ELEMENTS_LIMIT:,} elements", f"{xml.DEPTH_LIMIT} levels",
        f"{values.SIZE_LIMIT:,} units", f"and {values.DEPTH_LIMIT} levels",
        f"integers of {values.INT_BITS_LIMIT} bits", f"precisions of {formats.WIDTH_LIMIT}",
        f"scripts of {syntax.TEXT_LIMIT:,} characters", f"and {syntax.NESTING_LIMIT} levels",
        f"calls {run.CALL_DEPTH_LIMIT} levels", f"{reader.STATES_LIMIT:,} states",
        f"{reader.TRANSITIONS_LIMIT:,} transitions", f"{reader.INVOKES_LIMIT:,} `<invoke>`",
        f"{reader.PATHS_LIMIT:,} char", f"{processor.CALL_STEP_LIMIT:,} steps",
        f"{processor.EVENT_LIMIT:,} external", f"{session.COST_OF_STARTING:,}, a",
        f"HTTP {session.COST_OF_POSTING:,}", f"has {messages.NAME_LIMIT} char",
        f"{processor.WAITING_LIMIT:,} events wait", f"{processor.WAITING_UNITS_LIMIT:,} units",
        f"{processor.SESSION_LIMIT:,} sessions", f"go {processor.DEPTH_LIMIT} deep",
        f"{posting.BODY_LIMIT:,} bytes and {posting.TIMEOUT.seconds} seconds", f"{posting.INBOX_LIMIT:,} wait",
        f"{listening.CONNECTIONS_LIMIT} are read", f"{listening.HEAD_LIMIT:,} bytes",
        f"of the queue, up to {durable.EVENT_LIMIT:,}:", f"at most {durable.WAITING_LIMIT:,} of them",
    )  # fmt: skip
    text = " ".join(TEXT.split())
    for limit in limits:
        assert " ".join(limit.split()) in text
    assert session.COST_OF_A_STATE == 4, "four steps for each state"
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
    columns = ("all", "decide", "pass", "DOM", "JavaScript")
    table = [
        f"| {group} | {' | '.join(str(counts[group, each]) for each in columns)} |"
        for group in ("W3C, mandatory", "W3C, optional", "SCION")
    ]
    between = TEXT.partition("<!-- conformance -->\n")[2].partition("<!-- end -->")[0].splitlines()
    assert between[2:] == table


def _need(reason: str) -> str:
    return next(each for each in ("DOM", "JavaScript") if each in reason)
