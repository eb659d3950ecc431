"""The blocks of a page: what stands between fences, with its language, its line, and whether it is to be run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ROOT", "Block", "Page", "read_page", "read_pages"]

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>.*)$")
NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>\S.*) -->$")
FILE = re.compile(r"^# (?P<name>[\w./-]+\.\w+)$")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str
    line: int
    """Of its first fence, from 1."""
    not_run: str | None
    """Why it is not run, if it is not; that holds from the mark on up to the next heading."""

    @property
    def file(self) -> str | None:
        """The file that it is, by its first line: `# shop.py`."""
        found = FILE.match(self.text.partition("\n")[0])
        return found["name"] if found else None


@dataclass(frozen=True)
class Page:
    """A page of Markdown."""

    path: Path
    text: str
    blocks: list[Block]
    marks: list[str] = field(default_factory=list)
    """The reasons for which something is not run, one for each mark."""

    @property
    def name(self) -> str:
        """`docs/work.md`."""
        return self.path.relative_to(ROOT).as_posix() if self.path.is_relative_to(ROOT) else self.path.name


def read_page(path: Path) -> Page:
    """Read a page."""
    text = path.read_text(encoding="utf-8")
    marks: list[str] = []
    return Page(path, text, list(_blocks(text, marks)), marks)


def read_pages() -> list[Page]:
    """Every page that users read: README, CONTRIBUTING, and all of docs."""
    return [
        read_page(path)
        for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    ]


def _blocks(text: str, marks: list[str]) -> Iterator[Block]:
    fence: re.Match[str] | None = None
    begun, lines = 0, list[str]()
    reason: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if fence is not None:
            if line.strip() == fence["fence"]:
                indent = len(fence["indent"])
                body = "".join(f"{each[indent:]}\n" for each in lines)
                yield Block(fence["language"].strip(), body, begun, reason)
                fence = None
            else:
                lines.append(line)
            continue
        if mark := NOT_RUN.match(line):
            marks.append(reason := str(mark["reason"]))
        elif line.startswith("#"):
            reason = None
        elif opened := FENCE.match(line):
            fence, begun, lines = opened, number, []
    assert fence is None, f"the block that begins in line {begun} has no end"
