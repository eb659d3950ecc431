"""The pages build as a site, without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(target / "doctrees")]
    return subprocess.run(
        [*command, str(source), str(target / "html")], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(ROOT / "docs", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.stem for path in (tmp_path / "html").glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
    index = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert "quickstart.html" in index
    assert not re.search(r'href="[^":]*\.md[#"]', index), "a link to Markdown was not made one to a page"


def test_a_broken_link_or_anchor_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    (source / "index.md").write_text("# Pages\n\n[away](nowhere.md)\n\n[no heading](#nothing)\n", encoding="utf-8")
    done = build(source, tmp_path)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "nothing" in done.stderr


def test_make_builds_it_as_the_test_does() -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--dry-run", "docs"], capture_output=True, text=True, check=False, timeout=60
    )
    assert "python -m sphinx -q -W --keep-going -b html" in done.stdout, done.stderr
    assert "dist/docs" in done.stdout
