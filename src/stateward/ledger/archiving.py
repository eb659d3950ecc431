"""Archiving: a month of records is written to a file, read back, and only then dropped from the ledger.

A month is a range of record ids, whose first bits are the time at which each record was accepted. The manifest of its
archive is written last, and what has one is never written over, so that whatever was ever dropped is in an archive
that is whole. The drop is one transaction, in which the ledger's records are held against the manifest once more.

A run may end at any point: the next one begins anew, finds an archive of the same records if one was finished, and goes
on from there. Records of a month that is archived already (a clock was wrong, a backup was restored) get an archive of
their own, with a number.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from stateward.errors import ArchiveFailed, ArchiveRefused
from stateward.ledger.archives import LineSum, Manifest, Month, check_archive, line_of, read_manifest
from stateward.ledger.rows import RecordRow

__all__ = ["Archived", "Records", "Survey", "archive_month", "check_age"]

PAGE_ROWS = 2000
"""Records that are read at once."""


class Survey(NamedTuple):
    """What a ledger has of a month."""

    records: int
    first: str | None
    last: str | None


class Records(Protocol):
    """The records of a ledger's database, for whoever archives them; on one connection of its own."""

    place: str
    """The file, or the database and its host."""
    schema: int
    """The number of the database's schema."""

    def find_oldest(self) -> str | None:
        """The id of the oldest record of all."""
        ...

    def survey(self, month: Month) -> Survey:
        """Count a month's records."""
        ...

    def read_page(self, month: Month, after: str, limit: int) -> list[RecordRow]:
        """A month's records in order of id, behind the id `after`; from the first on, if it is empty."""
        ...

    def has_receipts(self, month: Month) -> bool:
        """Whether a receipt that has not come to its age yet names a record of the month."""
        ...

    def dropping(self, month: Month) -> AbstractContextManager[None]:
        """A transaction in which nobody else writes records of the month; it commits when the block ends well."""
        ...

    def drop(self, month: Month, records: int) -> None:
        """Drop a month within the transaction; it has this many records.

        Raises:
            ArchiveRefused: what would be dropped is not just that.
        """
        ...


class Archived(NamedTuple):
    """What became of a month."""

    month: str
    records: int
    file: str | None
    """None: there was nothing to archive, or it was only looked at."""
    was_there: bool = False
    """Whether a run before had written the file already."""


def check_age(month: Month, now: datetime, older_than: timedelta | None) -> None:
    """Whether a month may be archived by now.

    Args:
        month: the month.
        now: the time.
        older_than: how long ago it must have ended; None: before the month that was before this one.

    Raises:
        ArchiveRefused: it may not.
    """
    ended = month.following.begins
    if ended > now:
        problem = f"{month} is not over"
        raise ArchiveRefused(problem)
    if older_than is None and month.following.following.begins > now:
        problem = (
            f"{month} has just ended: say how old records must be, as the retention of records does, to archive it"
        )
        raise ArchiveRefused(problem)
    if older_than is not None and now - ended < older_than:
        problem = f"{month} ended {now - ended} ago, and records are kept for {older_than}"
        raise ArchiveRefused(problem)


def archive_month(
    records: Records, month: Month, folder: Path, *, now: datetime, older_than: timedelta | None, applies: bool
) -> Archived:
    """Write a month's records to a file, read it back, and drop them; or only look whether it could be done.

    Args:
        records: the records of a ledger.
        month: the month.
        folder: where the file is to be.
        now: the time.
        older_than: as for `check_age`.
        applies: whether to do it.

    Raises:
        ArchiveRefused: the month is too young, there are older ones, or receipts name its records; nothing is dropped.
        ArchiveFailed: the file can't be written, or not be read back as it was written; nothing is dropped.
        LedgerUnavailable: the database is away, or others held the month for too long; nothing is dropped.
    """
    check_age(month, now, older_than)
    _check_order(records, month)
    _check_receipts(records, month)
    if not applies:
        return Archived(str(month), records.survey(month).records, None)
    with _holding(folder):
        _sweep(folder, month)
        part, manifest = _write_part(records, month, folder, now)
        with _no_part_left(part):
            if manifest.records == 0:
                return Archived(str(month), 0, None)
            there = _find_archive(folder, month, manifest)
            path = there if there is not None else _publish(part, folder, month, manifest)
        check_archive(path)
        _drop(records, month, manifest)
    return Archived(str(month), manifest.records, path.name, there is not None)


def _check_order(records: Records, month: Month) -> None:
    """Months go in their order, so that what is left of a history is its end, without a gap."""
    oldest = records.find_oldest()
    if oldest is not None and oldest < month.first:
        problem = f"there are older records than those of {month}: archive {Month.holding(oldest)} first"
        raise ArchiveRefused(problem)


def _check_receipts(records: Records, month: Month) -> None:
    if records.has_receipts(month):
        problem = f"receipts name records of {month}: they go by their own retention, which workers see to"
        raise ArchiveRefused(problem)


def _drop(records: Records, month: Month, manifest: Manifest) -> None:
    """Drop a month that is archived, if it still is what was archived."""
    with records.dropping(month):
        found = LineSum()
        for row in _rows_of(records, month):
            found.take(row.id, line_of(row))
        if not found.is_of(manifest):
            problem = f"records of {month} have come or gone since they were read: run it again"
            raise ArchiveRefused(problem)
        _check_receipts(records, month)
        records.drop(month, manifest.records)


def _rows_of(records: Records, month: Month) -> Iterator[RecordRow]:
    after = ""
    while page := records.read_page(month, after, PAGE_ROWS):
        yield from page
        after = page[-1].id


# Files.


@contextmanager
def _told_of(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        problem = f"can't be written to: {error}"
        raise ArchiveFailed(problem, path=str(folder)) from error


@contextmanager
def _holding(folder: Path) -> Generator[None]:
    """Keep others from archiving to the folder; whoever holds it lets go when its process ends."""
    with _told_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl  # noqa: PLC0415 - where there is none, two at once are the operator's to avoid
    except ModuleNotFoundError:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            problem = f"another process is archiving to {folder}"
            raise ArchiveRefused(problem) from error
        yield
    finally:
        os.close(held)


def _sweep(folder: Path, month: Month) -> None:
    """Take away what runs that were killed have left."""
    with _told_of(folder):
        for part in folder.glob(f".record-{month}.*.part"):
            part.unlink(missing_ok=True)


@contextmanager
def _no_part_left(part: Path) -> Generator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _write_part(records: Records, month: Month, folder: Path, now: datetime) -> tuple[Path, Manifest]:
    """Write the ledger's records to a file that nobody takes for an archive."""
    found = LineSum()

    def lines() -> Iterator[bytes]:
        for row in _rows_of(records, month):
            line = line_of(row)
            found.take(row.id, line)
            yield line

    def write(file: Any) -> None:
        # Without a name and a time in its head, the same records make the same file.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
            packed.writelines(lines())

    part = _write_synced(folder, month, write)
    return part, found.manifest(month, "", records.schema, now)


def _write_synced(folder: Path, month: Month, write: Callable[[Any], None]) -> Path:
    with _told_of(folder):
        handle, name = tempfile.mkstemp(prefix=f".record-{month}.", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:  # of a full disk, say, which it would keep full
            Path(name).unlink(missing_ok=True)
            raise
    return Path(name)


def _names(month: Month) -> Iterator[str]:
    """The names of a month's archives, without what they end in."""
    yield f"record-{month}"
    for number in range(2, 1000):
        yield f"record-{month}.{number}"


def _find_archive(folder: Path, month: Month, manifest: Manifest) -> Path | None:
    """An archive of the same records, which a run before has written."""
    for name in _names(month):
        if not (folder / f"{name}.json").exists():
            return None
        if read_manifest(folder / f"{name}.json").sha256 == manifest.sha256:
            return folder / f"{name}.jsonl.gz"
    return None


def _publish(part: Path, folder: Path, month: Month, manifest: Manifest) -> Path:
    """Make a file an archive: it gets its name, and then its manifest. A file without one is of a run that was killed.

    Raises:
        ArchiveFailed: the folder can't be written to.
    """
    name = next(each for each in _names(month) if not (folder / f"{each}.json").exists())
    path = folder / f"{name}.jsonl.gz"
    manifest = msgspec.structs.replace(manifest, file=path.name)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    with _told_of(folder):
        part.replace(path)
        _sync_names(folder)
        _write_synced(folder, month, lambda file: file.write(text)).replace(folder / f"{name}.json")
        _sync_names(folder)
    return path


def _sync_names(folder: Path) -> None:
    """See to it that the names in a folder survive a loss of power."""
    if os.name != "posix":  # elsewhere a folder can't be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
