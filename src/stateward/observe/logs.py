"""A log line for each transition and each refusal, by the standard library's logging; silent until it is configured.

The logger is `stateward.transitions`, at INFO. Each line carries its facts as fields of the LogRecord: entity_id, kind,
state_from, state_to, event, outcome, reason, duration, actor, trace_id. `JsonLines` writes them as JSON.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

from stateward.observe.committed import Committed

__all__ = ["FIELDS", "JsonLines", "is_logged", "log_committed"]

FIELDS = (
    "entity_id", "kind", "state_from", "state_to", "event", "outcome", "reason", "duration", "actor", "trace_id",
)  # fmt: skip

_log = logging.getLogger("stateward.transitions")
logging.getLogger("stateward").addHandler(logging.NullHandler())


def is_logged() -> bool:
    """Whether anybody reads these lines."""
    return _log.isEnabledFor(logging.INFO)


def log_committed(committed: Committed) -> None:
    """Write a line."""
    facts = {name: getattr(committed, name) for name in FIELDS}
    entity = _on_one_line(committed.entity_id)
    if committed.outcome == "refused":
        _log.info(
            "%s %s in %s refused %s: %s", committed.kind, entity, committed.state_to, committed.event,
            committed.reason, extra=facts,
        )  # fmt: skip
    else:
        _log.info(
            "%s %s: %s -> %s by %s", committed.kind, entity, committed.state_from or "(start)",
            committed.state_to, committed.event, extra=facts,
        )  # fmt: skip


def _on_one_line(text: str) -> str:
    """A text that callers choose, so that none makes lines of its own, or moves a terminal's cursor."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class JsonLines(logging.Formatter):
    """Writes each log record as a JSON object on a line: time, level, logger, message, and the fields it carries."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
