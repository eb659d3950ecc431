"""Archives: what a month of records is in files, and how it is read.

An archive is two files: the records as compressed JSON Lines, in order of their ids, and a manifest that says how many
there are and what they hash to. A payload stands in a line as JSON and not as text, for tools that look into JSON;
times are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec

from stateward.errors import ArchiveFailed, ArchiveRefused
from stateward.ledger.ids import first_id, minted_at
from stateward.ledger.rows import RecordRow

__all__ = ["LineSum", "Manifest", "Month", "check_archive", "line_of", "read_archive", "read_manifest"]

FORMAT = 1
"""Of manifest and lines."""


class Month(NamedTuple):
    """A month of record ids, in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, text: str) -> Month:
        """A month written as `2026-03`.

        Raises:
            ArchiveRefused: it is none.
        """
        match = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
        if match is None or not 1970 <= int(match[1]) < 9999:
            problem = f"{text!r} is no month: 2026-03 is one"
            raise ArchiveRefused(problem)
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def holding(cls, record: str) -> Month:
        """The month in which a record was accepted."""
        moment = datetime.fromtimestamp(minted_at(record) // 1_000_000, UTC)
        return cls(moment.year, moment.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def following(self) -> Month:
        """The month behind it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def first(self) -> str:
        """Its ids are not below this one."""
        return first_id(int(self.begins.timestamp()) * 1000)

    @property
    def end(self) -> str:
        """Its ids are below this one."""
        return self.following.first


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    month: str
    file: str
    records: int
    first: str
    last: str
    sha256: str
    """Of the lines as they are without compression."""
    schema: int
    """Of the database that they come from."""
    written_at: datetime
    format: int = FORMAT


# Lines.

_LINE: Any = msgspec.defstruct(
    "ArchivedRecord",
    [(name, msgspec.Raw if name == "payload" else hint) for name, hint in get_type_hints(RecordRow).items()],
    forbid_unknown_fields=True,
)
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(_LINE).decode
_PAYLOAD = RecordRow._fields.index("payload")


def line_of(row: RecordRow) -> bytes:
    """A record as a line of an archive."""
    payload = row.payload if "\n" not in row.payload else msgspec.json.format(row.payload, indent=-1)
    return bytes(_ENCODE(_LINE(*row[:_PAYLOAD], msgspec.Raw(payload.encode()), *row[_PAYLOAD + 1 :]))) + b"\n"


def _row_of(line: bytes) -> RecordRow:
    values = msgspec.structs.astuple(_DECODE(line))
    return RecordRow._make((*values[:_PAYLOAD], bytes(values[_PAYLOAD]).decode(), *values[_PAYLOAD + 1 :]))


class LineSum:
    """Count and digest of lines as they go by."""

    def __init__(self) -> None:
        self.records = 0
        self.first = self.last = ""
        self._digest = hashlib.sha256()

    def take(self, record: str, line: bytes) -> None:
        """Add the line of a record; ids rise.

        Raises:
            ValueError: this one does not.
        """
        if record <= self.last:
            message = f"record {record} stands behind {self.last}"
            raise ValueError(message)
        self.records += 1
        self.first, self.last = self.first or record, record
        self._digest.update(line)

    def is_of(self, manifest: Manifest) -> bool:
        """Whether they are the lines that a manifest tells of."""
        return self._facts() == (manifest.records, manifest.first, manifest.last, manifest.sha256)

    def _facts(self) -> tuple[int, str, str, str]:
        return self.records, self.first, self.last, self._digest.hexdigest()

    def manifest(self, month: Month, file: str, schema: int, now: datetime) -> Manifest:
        """What they make, in a file of that name."""
        records, first, last, sha256 = self._facts()
        return Manifest(
            month=str(month), file=file, records=records, first=first, last=last, sha256=sha256, schema=schema,
            written_at=now,
        )  # fmt: skip


# Reading.


def read_archive(path: Path | str) -> Iterator[RecordRow]:
    """The records of an archive, in order of id; the manifest lies beside it.

    Raises:
        ArchiveFailed: there is none, or it is not what its manifest tells, which may come out only at its end.
    """
    path = Path(path)
    manifest, found = read_manifest(manifest_of(path)), LineSum()
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                row = _row_of(line)
                found.take(row.id, line)
                yield row
    except (OSError, EOFError, ValueError, zlib.error) as error:  # msgspec's are ValueErrors
        problem = f"can't be read: {error}"
        raise ArchiveFailed(problem, path=str(path)) from error
    if not found.is_of(manifest):
        problem = f"holds {found.records:,} records that are not the {manifest.records:,} that its manifest tells of"
        raise ArchiveFailed(problem, path=str(path))


def check_archive(path: Path | str) -> Manifest:
    """Read an archive through; what it holds.

    Raises:
        ArchiveFailed: as `read_archive`.
    """
    for _ in read_archive(path):
        pass
    return read_manifest(manifest_of(Path(path)))


def manifest_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".jsonl.gz") + ".json")


def read_manifest(path: Path) -> Manifest:
    """A manifest.

    Raises:
        ArchiveFailed: there is none, or it can't be read.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, ValueError) as error:
        problem = f"its manifest can't be read: {error}"
        raise ArchiveFailed(problem, path=str(path)) from error
    if manifest.format != FORMAT:
        problem = f"is of format {manifest.format}, and this version of stateward reads {FORMAT}"
        raise ArchiveFailed(problem, path=str(path))
    return manifest
