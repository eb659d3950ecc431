"""Every block of README and of the pages is run, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Page, read_pages
from tests.docs.fixtures import FIXTURES
from tests.docs.links import anchors_of, links_of
from tests.docs.running import run_page

PAGES = {page.name: page for page in read_pages()}
NOT_RUN_MAX = 6


@pytest.mark.parametrize("page", [pytest.param(page, id=name) for name, page in PAGES.items() if page.blocks])
def test_every_block_of_a_page_is_run(page: Page, tmp_path: Path) -> None:
    run_page(page, tmp_path, FIXTURES.get(page.name))


def test_next_to_nothing_is_not_run_and_it_is_said_why() -> None:
    reasons = [f"{name}: {reason}" for name, page in PAGES.items() for reason in page.marks]
    assert len(reasons) <= NOT_RUN_MAX, reasons
    assert set(FIXTURES) <= set(PAGES)


@pytest.mark.parametrize("page", [pytest.param(page, id=name) for name, page in PAGES.items()])
def test_every_link_of_a_page_leads_somewhere(page: Page) -> None:
    broken: list[str] = []
    for link in links_of(page.text):
        if "://" in link:
            if not re.fullmatch(r"https?://[\w-]+(\.[\w-]+)+(/\S*)?", link):  # what is elsewhere is not asked
                broken.append(link)
            continue
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_test_that_a_page_names_exists() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    defined = {
        name for text in texts.values() for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", text, re.MULTILINE)
    }
    defined |= {path.stem for path in texts}
    missing: list[str] = []
    for name, page in PAGES.items():
        missing += [
            f"{name}: {each}" for each in re.findall(r"`(test_\w+)(?:\.py)?`", page.text) if each not in defined
        ]
        paths = re.findall(r"`((?:tests|src|docs|bench|examples)/[\w./-]+\w)/?`", page.text)
        missing += [f"{name}: {each}" for each in paths if not (ROOT / each).exists()]
    assert missing == []


def test_every_guarantee_names_what_holds_it() -> None:
    promised, _, not_promised = PAGES["docs/guarantees.md"].text.partition("## What is not promised")
    rows = [line for line in promised.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert len(rows) >= 24
    assert [row for row in rows if "`test" not in row.rpartition(" | ")[2]] == []
    assert not_promised.count("\n- **") >= 8


def test_the_figures_and_versions_of_the_comparison_are_those_that_were_measured() -> None:
    text = PAGES["docs/comparison.md"].text
    measured = "".join(PAGES[f"docs/{name}.md"].text for name in ("benchmarks", "ledger-benchmarks", "work-benchmarks"))
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements" / "bench.txt").read_text(), re.MULTILINE))
    named = re.findall(
        r"\b(transitions|python-statemachine|xstate-statemachine|harel|DBOS|eventsourcing) (\d+\.\d+\.\d+)", text
    )
    assert len({name for name, _ in named}) == 6
    assert [f"{name} {number}" for name, number in named if pins[name.lower()] != number] == []
    figures = re.findall(r"(?<![\d.,])\d{1,3},\d{3}\b(?! events)|(?<=\| )\d+\.\d\d(?= \|)", text)
    assert len(figures) >= 20
    assert [each for each in figures if not re.search(rf"(?<![\d,.]){re.escape(each)}(?![\d,])", measured)] == []


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name in PAGES:
        if name.startswith("docs/") and name != "docs/index.md":
            assert f"({name.removeprefix('docs/')})" in index, f"docs/index.md does not lead to {name}"
