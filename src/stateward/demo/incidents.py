"""An incident of an IT department, in two levels: status and sub-status.

The log that it is made for is the one of the BPI Challenge 2013 (Steeman, doi
10.4121/uuid:500573e6-accc-4b0c-9576-aa5468b10cee): each row says which status and sub-status an incident has
just entered. `EVENTS` reads such a pair as the event that leads there; whether it does is up to the lifecycle.

Some of what stands in the log is refused on purpose: closed incidents are not reopened, resolved ones at most
twice, and nobody resolves what nobody has accepted.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from stateward.chart import Composite, Context, Event, Final, Lifecycle, State, after, chart_of, nested, on
from stateward.ledger.logs import Log, read_map

__all__ = ["EVENTS", "Incident", "IncidentLifecycle", "incident_log"]

REOPENINGS_MAX = 2


class Incident(Context):
    """What is known of an incident."""

    impact: str = ""
    product: str = ""
    handovers: int = 0
    """How often it went back to a queue."""
    reopenings: int = 0
    """How often it was taken up again after it had been resolved."""


class Noted(Event):
    """What every event of an incident says: its attributes at that moment."""

    impact: str = ""
    product: str = ""


class WorkBegun(Noted):
    """Somebody works on it."""


class Assigned(Noted):
    """It was given to somebody."""


class Queued(Noted):
    """It waits for somebody to take it."""


class Paused(Noted):
    """Work rests, for no reason given."""


class UserAsked(Noted):
    """Work rests until the user answers."""


class ImplementationAwaited(Noted):
    """Work rests until a change is implemented."""


class VendorAsked(Noted):
    """Work rests until the vendor answers."""


class CustomerAsked(Noted):
    """Work rests until the customer answers."""


class Resolved(Noted):
    """A solution is in place."""


class SolvedInCall(Noted):
    """It was solved during the call that reported it."""


class Closed(Noted):
    """The solution was confirmed."""


class Cancelled(Noted):
    """It was withdrawn."""


class Unmatched(Noted):
    """It belongs to no known product or service."""


EVENTS: dict[tuple[str, str], type[Noted]] = {
    ("Accepted", "In Progress"): WorkBegun,
    ("Accepted", "Assigned"): Assigned,
    ("Accepted", "Wait"): Paused,
    ("Accepted", "Wait - User"): UserAsked,
    ("Accepted", "Wait - Implementation"): ImplementationAwaited,
    ("Accepted", "Wait - Vendor"): VendorAsked,
    ("Accepted", "Wait - Customer"): CustomerAsked,
    ("Queued", "Awaiting Assignment"): Queued,
    ("Completed", "Resolved"): Resolved,
    ("Completed", "In Call"): SolvedInCall,
    ("Completed", "Closed"): Closed,
    ("Completed", "Cancelled"): Cancelled,
    ("Unmatched", "Unmatched"): Unmatched,
}
"""The event that a row of the log stands for, by status and sub-status."""


def may_reopen(incident: Incident, event: Noted) -> bool:
    """An incident is taken up again at most twice; after that a new one is due."""
    return incident.reopenings < REOPENINGS_MAX


def note(incident: Incident, event: Noted) -> Incident:
    """Take over the attributes that the event tells."""
    return incident.replace(impact=event.impact, product=event.product)


def note_handover(incident: Incident, event: Noted) -> Incident:
    """Count the way back into a queue."""
    return note(incident, event).replace(handovers=incident.handovers + 1)


def note_reopening(incident: Incident, event: Noted) -> Incident:
    """Count that it was taken up again."""
    return note(incident, event).replace(reopenings=incident.reopenings + 1)


class IncidentLifecycle(Lifecycle[Incident]):
    """An incident, from its report to its archive."""

    version = 1

    reported = State(initial=True, sla=timedelta(hours=4))

    class accepted(Composite):
        """Somebody is responsible."""

        in_progress = State(initial=True, sla=timedelta(days=2))
        assigned = State(sla=timedelta(days=1))
        paused = State(sla=timedelta(days=7))
        waiting_for_user = State(sla=timedelta(days=7))
        waiting_for_implementation = State(sla=timedelta(days=30))
        waiting_for_vendor = State(sla=timedelta(days=14))
        waiting_for_customer = State(sla=timedelta(days=14))

        waiting = paused | waiting_for_user | waiting_for_implementation | waiting_for_vendor | waiting_for_customer
        working = in_progress | assigned

        assign = on(Assigned, (working | waiting).to(assigned), do=note)
        begin_work = on(WorkBegun, (working | waiting).to(in_progress), do=note)
        pause = on(Paused, (working | waiting).to(paused), do=note)
        ask_user = on(UserAsked, (working | waiting).to(waiting_for_user), do=note)
        await_implementation = on(ImplementationAwaited, (working | waiting).to(waiting_for_implementation), do=note)
        ask_vendor = on(VendorAsked, (working | waiting).to(waiting_for_vendor), do=note)
        ask_customer = on(CustomerAsked, (working | waiting).to(waiting_for_customer), do=note)

    @nested(sla=timedelta(days=1))
    class queued(Composite):
        """Nobody is responsible yet, or any more."""

        awaiting_assignment = State(initial=True)

    class completed(Composite):
        """Nothing more is to be done, unless it is taken up again."""

        resolved = State(initial=True)
        solved_in_call = State()
        closed = State()
        cancelled = State()

        close = on(Closed, resolved.to(closed), do=note, already=closed)

    unmatched = State(sla=timedelta(days=1))
    archived = Final()

    take_up = on(WorkBegun, (reported | queued | unmatched).to(accepted.in_progress), do=note)
    hand_out = on(Assigned, (reported | queued).to(accepted.assigned), do=note)
    set_aside = on(
        UserAsked,
        (reported | queued).to(accepted.waiting_for_user),
        do=note,
    )
    enqueue = on(
        Queued,
        reported.to(queued, do=note),
        accepted.to(queued, do=note_handover),
        queued.to(queued, do=note_handover),
        (completed.resolved | completed.solved_in_call).to(queued, when=may_reopen, do=note_reopening),
    )
    reopen = on(
        WorkBegun,
        (completed.resolved | completed.solved_in_call).to(accepted.in_progress),
        when=may_reopen,
        do=note_reopening,
    )
    reassign = on(Assigned, completed.resolved.to(accepted.assigned), when=may_reopen, do=note_reopening)
    resolve = on(Resolved, accepted.to(completed.resolved), do=note, already=completed.resolved)
    solve = on(
        SolvedInCall,
        (reported | accepted.in_progress).to(completed.solved_in_call),
        do=note,
        already=completed.solved_in_call,
    )
    cancel = on(Cancelled, (reported | accepted | queued).to(completed.cancelled), do=note)
    reject = on(Unmatched, (reported | queued).to(unmatched), do=note)
    archive = after(timedelta(days=90), completed.to(archived))


COLUMNS = (
    "entity=case", "time=time:timestamp", "actor=org:resource", "event=concept:name,lifecycle:transition",
    "Event.impact=impact", "Event.product=product",
)  # fmt: skip
"""What the log's columns say."""


def incident_log(path: Path) -> Log:
    """The log, as CSV, compressed or not."""
    names = {"/".join(pair): kind.__name__ for pair, kind in EVENTS.items()}
    return Log(path, read_map(chart_of(IncidentLifecycle), COLUMNS, names))
