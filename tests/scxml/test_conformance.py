"""Every automatic case of the W3C's Implementation Report and of SCION's test framework, each by its own id."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from stateward.scxml import read, read_file, write
from stateward.scxml.cases import run_case
from stateward.scxml.reader import load_beside
from tests.scxml.manifest import EXPECTED_TO_FAIL, Case, automatic_cases

CASES = automatic_cases()


def _expected(case: Case) -> Any:
    marks = [pytest.mark.xfail(reason=EXPECTED_TO_FAIL[case.id], strict=True)] if case.id in EXPECTED_TO_FAIL else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No case may wait in real time."""

    def refuse(_: float) -> None:
        pytest.fail("a case slept in real time")

    monkeypatch.setattr(time, "sleep", refuse)


@pytest.mark.parametrize("case", [_expected(case) for case in CASES])
def test_case(case: Case) -> None:
    verdict = run_case(case.path)
    assert verdict.passed, verdict.reason


READABLE = [case for case in CASES if not case.id.startswith("scion/script-src/")]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in READABLE])
def test_a_document_that_is_written_and_read_again_is_the_same_chart(case: Case) -> None:
    chart = read_file(case.path)
    written = write(chart)
    again = read(written, load=lambda src: load_beside(case.path.parent, src))
    assert again.digest == chart.digest
    assert write(again) == written


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in READABLE])
def test_a_document_that_is_written_behaves_as_it_did(case: Case, tmp_path: Path) -> None:
    beside = (*case.path.parent.glob("*.txt"), *case.path.parent.glob("*sub1.scxml"))
    for each in (case.path.with_suffix(".json"), *beside):
        if each.exists():
            shutil.copy(each, tmp_path)
    (tmp_path / case.path.name).write_text(write(read_file(case.path)), encoding="utf-8")
    assert run_case(tmp_path / case.path.name).passed == run_case(case.path).passed


def test_the_list_of_expected_failures_names_cases_that_exist() -> None:
    assert EXPECTED_TO_FAIL.keys() <= {case.id for case in CASES}
