"""SCXML 1.0, the W3C's interchange format for statecharts: read into a chart, written from one, run in a session.

A document becomes a chart like any other: what only SCXML has, its data, executable content and messages, is
compiled to guards and actions here, and the kernel runs it as it runs a lifecycle.

`read` and `read_file` give a chart, `write` gives a document, `Session` runs one, `Processor` several together;
`stateward.scxml.posting.HttpPort` connects them over HTTP. An engine given the chart keeps its sessions in a ledger.
"""

from stateward.errors import DocumentInvalid, EvaluationError
from stateward.scxml.context import Data
from stateward.scxml.durable import first_data, kept_chart
from stateward.scxml.messages import ScxmlEvent
from stateward.scxml.processor import Clock, MonotonicClock, Processor, VirtualClock
from stateward.scxml.reader import read, read_file
from stateward.scxml.session import Session
from stateward.scxml.writer import write

__all__ = [
    "Clock",
    "Data",
    "DocumentInvalid",
    "EvaluationError",
    "MonotonicClock",
    "Processor",
    "ScxmlEvent",
    "Session",
    "VirtualClock",
    "first_data",
    "kept_chart",
    "read",
    "read_file",
    "write",
]
