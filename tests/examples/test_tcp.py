"""The example of a TCP connection against what RFC 9293 says: its figures, and its answers to what does not belong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from examples.tcp import (
    MODULUS,
    Abort,
    Ack,
    Close,
    ConnectionLifecycle,
    Emit,
    End,
    Fin,
    OpenActively,
    OpenPassively,
    Rst,
    Segment,
    Send,
    Syn,
    SynAck,
    arriving,
    exchange,
    is_within,
)
from stateward import Elapsed, Event, Refused, chart_of
from stateward.chart.lint import lint

STATES = {
    "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",
    "LAST-ACK", "TIME-WAIT",
}  # fmt: skip
LINGER = Elapsed("linger@opened.TIME-WAIT")


def established(iss: int = 100, irs: int = 300) -> tuple[End, End]:
    one, other = End(iss), End(irs)
    other.call(OpenPassively())
    one.call(OpenActively())
    exchange(one, other)
    return one, other


def ends(iss: int, *steps: Event) -> End:
    """One end, after these calls and segments; what it has sent so far is forgotten."""
    end = End(iss)
    for step in steps:
        end.call(step)
    end.sent.clear()
    return end


SYN_SENT = (OpenActively(),)
SYN_RECEIVED = (OpenPassively(), Syn(seq=300))
OPEN = (OpenActively(), SynAck(seq=300, ack=101))
FIN_WAIT_1 = (*OPEN, Close())
IN: dict[str, tuple[Event, ...]] = {
    "CLOSED": (),
    "LISTEN": (OpenPassively(),),
    "SYN-SENT": SYN_SENT,
    "SYN-RECEIVED": SYN_RECEIVED,
    "ESTABLISHED": OPEN,
    "FIN-WAIT-1": FIN_WAIT_1,
    "FIN-WAIT-2": (*FIN_WAIT_1, Ack(seq=301, ack=102)),
    "CLOSE-WAIT": (*OPEN, Fin(seq=301, ack=101)),
    "CLOSING": (*FIN_WAIT_1, Fin(seq=301, ack=101)),
    "LAST-ACK": (*OPEN, Fin(seq=301, ack=101), Close()),
    "TIME-WAIT": (*FIN_WAIT_1, Fin(seq=301, ack=102)),
}
"""How each state is come to."""
OPENED = STATES - {"CLOSED", "LISTEN", "SYN-SENT"}


def test_it_has_the_states_of_the_rfc_and_each_is_reached() -> None:
    names = {state.name for state in chart_of(ConnectionLifecycle).states[1:]}
    assert names == STATES | {"opened", "deleted"}
    assert {name: ends(100, *steps).state for name, steps in IN.items()} == {name: name for name in STATES}


def test_it_passes_the_checks() -> None:
    assert lint(chart_of(ConnectionLifecycle)) == []


# The figures.


def test_figure_6_the_three_way_handshake() -> None:
    one, other = End(100), End(300)
    other.call(OpenPassively())
    one.call(OpenActively())
    assert exchange(one, other) == [
        "SYN-SENT     --> <SEQ=100><CTL=SYN> SYN-RECEIVED",
        "ESTABLISHED  <-- <SEQ=300><ACK=101><CTL=SYN,ACK> SYN-RECEIVED",
        "ESTABLISHED  --> <SEQ=101><ACK=301><CTL=ACK> ESTABLISHED",
    ]


def test_figure_7_simultaneous_connections() -> None:
    one, other = End(100), End(300)
    one.call(OpenActively())
    other.call(OpenActively())
    [theirs], [ours] = other.sent, one.sent
    one.sent, other.sent = [], []
    one.receive(arriving(theirs))
    other.receive(arriving(ours))
    assert (one.state, other.state) == ("SYN-RECEIVED", "SYN-RECEIVED")
    assert one.sent == [Emit("SYN,ACK", 100, 301)]
    assert other.sent == [Emit("SYN,ACK", 300, 101)]
    [theirs], [ours] = other.sent, one.sent
    one.sent, other.sent = [], []
    one.receive(arriving(theirs))
    other.receive(arriving(ours))
    assert (one.state, other.state) == ("ESTABLISHED", "ESTABLISHED")
    exchange(one, other)
    assert (one.state, other.state) == ("ESTABLISHED", "ESTABLISHED")
    assert (one.machine.context.rcv_nxt, other.machine.context.rcv_nxt) == (301, 101)


def test_figure_8_recovery_from_an_old_duplicate_syn() -> None:
    one, other = End(100), End(300)
    other.call(OpenPassively())
    one.call(OpenActively())
    one.sent.clear()
    other.receive(Syn(seq=90))  # the old one is first
    assert other.sent == [Emit("SYN,ACK", 300, 91)]
    [answer], other.sent = other.sent, []
    one.receive(arriving(answer))
    assert (one.state, one.sent) == ("SYN-SENT", [Emit("RST", 91)])
    [answer], one.sent = one.sent, []
    other.receive(arriving(answer))
    assert other.state == "LISTEN"
    other.receive(Syn(seq=100))
    exchange(one, other)
    assert (one.state, other.state) == ("ESTABLISHED", "ESTABLISHED")


def test_figures_9_and_10_a_half_open_connection_is_discovered() -> None:
    """One has crashed, and opens anew; or the other, who knows of nothing, sends."""
    _, other = established()
    anew = End(400)
    anew.call(OpenActively())
    assert exchange(anew, other) == [
        "SYN-SENT     --> <SEQ=400><CTL=SYN> ESTABLISHED",
        "SYN-SENT     <-- <SEQ=301><ACK=101><CTL=ACK> ESTABLISHED",
        "SYN-SENT     --> <SEQ=101><CTL=RST> deleted",
    ]
    assert other.told == ["connection reset"]
    _, other = established()
    other.call(Send(length=10))
    crashed = End(400)
    exchange(crashed, other)
    assert (crashed.state, other.state) == ("CLOSED", "deleted")


def test_figure_12_normal_close() -> None:
    one, other = established()
    one.call(Close())
    assert exchange(one, other) == [
        "FIN-WAIT-1   --> <SEQ=101><ACK=301><CTL=FIN,ACK> CLOSE-WAIT",
        "FIN-WAIT-2   <-- <SEQ=301><ACK=102><CTL=ACK> CLOSE-WAIT",
    ]
    other.call(Send(length=5))  # the other half is open
    exchange(one, other)
    assert (one.state, one.machine.context.rcv_nxt) == ("FIN-WAIT-2", 306)
    other.call(Close())
    assert exchange(one, other) == [
        "TIME-WAIT    <-- <SEQ=306><ACK=102><CTL=FIN,ACK> LAST-ACK",
        "TIME-WAIT    --> <SEQ=102><ACK=307><CTL=ACK> deleted",
    ]
    assert other.told == ["connection closing"]


def test_figure_13_simultaneous_close() -> None:
    one, other = established()
    one.call(Close())
    other.call(Close())
    [theirs], [ours] = other.sent, one.sent
    one.sent, other.sent = [], []
    one.receive(arriving(theirs))
    other.receive(arriving(ours))
    assert (one.state, other.state) == ("CLOSING", "CLOSING")
    exchange(one, other)
    assert (one.state, other.state) == ("TIME-WAIT", "TIME-WAIT")


def test_a_fin_that_acknowledges_ours_spares_closing() -> None:
    end = ends(100, *FIN_WAIT_1)
    end.call(Fin(seq=301, ack=102))
    assert end.state == "TIME-WAIT"


# Time.


def test_time_wait_lasts_for_two_lifetimes_of_a_segment_and_begins_anew_with_each_fin() -> None:
    end = End(100)
    for step in FIN_WAIT_1:
        end.call(step)
    [timer] = end.machine.send(Fin(seq=301, ack=102)).timers_set
    assert (timer.name, timer.delay) == (LINGER.timer, timedelta(minutes=4))
    again = end.machine.send(Fin(seq=301, ack=102))
    assert (again.timers_cancelled, [each.name for each in again.timers_set]) == ((LINGER.timer,), [LINGER.timer])
    assert again.effects == (Emit("ACK", 102, 302),)
    end.call(LINGER)
    assert end.machine.is_finished


# What does not belong.


@pytest.mark.parametrize("state", sorted(OPENED))
def test_an_exact_reset_ends_a_connection_and_one_that_is_guessed_is_asked_about(state: str) -> None:
    end = ends(100, *IN[state])
    expected = end.machine.context.rcv_nxt
    end.receive(Rst(seq=expected + 7))
    assert (end.state, end.sent) == (state, [Emit("ACK", end.machine.context.snd_nxt, expected)])
    refused = end.receive(Rst(seq=(expected - 1) % MODULUS))
    assert refused is not None
    assert refused.kind == "guarded"
    end.receive(Rst(seq=expected))
    assert end.state == ("LISTEN" if state == "SYN-RECEIVED" else "deleted")


def test_a_reset_answers_a_connection_that_nobody_listens_for() -> None:
    one, closed = End(100), End(300)
    one.call(OpenActively())
    assert exchange(one, closed) == [
        "SYN-SENT     --> <SEQ=100><CTL=SYN> CLOSED",
        "deleted      <-- <SEQ=0><ACK=101><CTL=RST,ACK> CLOSED",
    ]
    assert one.told == ["connection refused"]


def test_a_reset_of_another_syn_is_refused() -> None:
    end = ends(100, *SYN_SENT)
    refused = end.receive(Rst(seq=0, ack=77))
    assert refused is not None
    assert (refused.kind, end.state) == ("guarded", "SYN-SENT")


@pytest.mark.parametrize("state", ["CLOSED", "LISTEN"])
def test_a_reset_is_nothing_to_who_has_no_connection(state: str) -> None:
    refused = ends(100, *IN[state]).receive(Rst(seq=1))
    assert refused is not None
    assert refused.kind == "illegal"


@pytest.mark.parametrize("state", ["CLOSED", "LISTEN"])
@pytest.mark.parametrize("segment", [Ack(seq=5, ack=9), Fin(seq=5, ack=9), SynAck(seq=5, ack=9)])
def test_an_acknowledgment_of_nothing_is_reset(state: str, segment: Segment) -> None:
    end = ends(100, *IN[state])
    end.receive(segment)
    assert (end.state, end.sent) == (state, [Emit("RST", 9)])


@pytest.mark.parametrize("state", sorted(OPENED - {"TIME-WAIT"}))
@pytest.mark.parametrize("kind", [Ack, Fin])
@pytest.mark.parametrize("ack", [0, 50])
def test_a_segment_outside_of_the_window_or_that_acknowledges_what_was_not_sent_is_answered(
    state: str, kind: type[Ack] | type[Fin], ack: int
) -> None:
    end = ends(100, *IN[state])
    tcb = end.machine.context
    seq = tcb.rcv_nxt if ack else (tcb.rcv_nxt - 20) % MODULUS
    end.receive(kind(seq=seq, ack=tcb.snd_nxt + ack))
    assert (end.state, end.machine.context) == (state, tcb)
    assert end.sent == [Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)]


@pytest.mark.parametrize("state", sorted(OPENED))
def test_a_syn_amid_a_connection_is_answered_and_changes_nothing(state: str) -> None:
    end = ends(100, *IN[state])
    tcb = end.machine.context
    end.receive(Syn(seq=tcb.rcv_nxt))
    assert (end.state, end.sent) == (state, [Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)])


def test_who_waits_for_their_syn_drops_what_is_none() -> None:
    end = ends(100, *SYN_SENT)
    for segment in (Ack(seq=5, ack=101), Fin(seq=5, ack=101)):
        refused = end.receive(segment)
        assert refused is not None
        assert (refused.kind, end.state) == ("guarded", "SYN-SENT")


# The user's calls.


def test_close_is_done_already_where_a_fin_is_out_and_an_error_where_theirs_is_in() -> None:
    for state in ("FIN-WAIT-1", "FIN-WAIT-2"):
        assert ends(100, *IN[state]).machine.send(Close()).outcome == "already_done"
    for state in ("CLOSED", "CLOSING", "LAST-ACK", "TIME-WAIT"):
        with pytest.raises(Refused):
            ends(100, *IN[state]).call(Close())
    for state in ("LISTEN", "SYN-SENT"):
        end = ends(100, *IN[state])
        end.call(Close())
        assert end.state == "deleted"


def test_data_is_sent_where_our_half_is_open() -> None:
    for state in STATES:
        end = ends(100, *IN[state])
        if state in ("ESTABLISHED", "CLOSE-WAIT"):
            end.call(Send(length=10))
            assert end.sent == [Emit("ACK", 101, end.machine.context.rcv_nxt, 10)]
        else:
            with pytest.raises(Refused):
                end.call(Send(length=10))


@pytest.mark.parametrize("state", sorted(OPENED))
def test_abort_resets_the_other_end(state: str) -> None:
    end = ends(100, *IN[state])
    end.call(Abort())
    assert (end.state, [each.flags for each in end.sent]) == ("deleted", ["RST"])


def test_numbers_go_round() -> None:
    assert is_within(MODULUS - 5, 3, 10)
    assert not is_within(MODULUS - 5, 11, 10)
    one, other = established(iss=MODULUS - 1, irs=MODULUS - 3)
    for _ in range(3):
        one.call(Send(length=2))
        other.call(Send(length=1))
        exchange(one, other)
    one.call(Close())
    exchange(one, other)
    assert (one.state, other.state, other.machine.context.rcv_nxt) == ("FIN-WAIT-2", "CLOSE-WAIT", 7)


def test_it_runs_and_prints_a_connection_s_life(printed: Callable[[str], str]) -> None:
    lines = printed("tcp").splitlines()
    assert lines[3:5] == [
        "ESTABLISHED  --> <SEQ=101><ACK=301><CTL=ACK><DATA=10> ESTABLISHED",
        "ESTABLISHED  <-- <SEQ=301><ACK=111><CTL=ACK> ESTABLISHED",
    ]
    assert "is_in_window said no" in lines[7]
    assert lines[-1] == "deleted deleted"
