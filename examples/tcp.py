"""A TCP connection in this process: the eleven states of RFC 9293, its segments, and its TIME-WAIT timer.

What it shows:

- a `Machine` with nothing around it: no ledger, no network; segments that are to be sent are effects, for whoever holds
  the machine to carry away;
- sequence numbers decide, and guards say so: the same FIN leads from FIN-WAIT-1 to TIME-WAIT if it acknowledges ours
  (`acks_our_fin`), and to CLOSING if not;
- what holds in eight states is said once, of the composite around them: a reset, a SYN that does not belong, a segment
  outside of the window. What one of them says of itself comes first;
- three ways of not moving, as the RFC has them: a segment that is answered is a step that stays (`.stay`), one that is
  dropped in silence is a refusal with its reason, and a second CLOSE is `already=` done.

The states have the RFC's own names. CLOSED stands twice: it is where a connection begins, `deleted` is where it ends.
Retransmission, urgent data and options are left out; the window is always the same.

Run it with `python -m examples.tcp`.
"""

from datetime import timedelta

from stateward import (
    Actions,
    Composite,
    Context,
    Effect,
    EffectMarker,
    Elapsed,
    Event,
    Final,
    Lifecycle,
    Machine,
    Refusal,
    State,
    after,
    on,
)

MODULUS = 2**32
WINDOW = 65_535
MSL = timedelta(minutes=2)
"""The longest that a segment may be on its way."""


# What the user calls.


class OpenPassively(Event):
    pass


class OpenActively(Event):
    pass


class Send(Event):
    length: int


class Close(Event):
    pass


class Abort(Event):
    pass


# What arrives.


class Segment(Event):
    seq: int


class Syn(Segment):
    pass


class Acking(Segment):
    """A segment that acknowledges what comes before `ack`."""

    ack: int
    length: int = 0


class SynAck(Acking):
    pass


class Ack(Acking):
    """With data, if it has a length."""


class Fin(Acking):
    pass


class Rst(Segment):
    ack: int | None = None


# What is asked for.


class Emit(Effect):
    """Send a segment."""

    flags: str
    seq: int
    ack: int | None = None
    length: int = 0

    def __str__(self) -> str:
        ack = "" if self.ack is None else f"<ACK={self.ack}>"
        data = f"<DATA={self.length}>" if self.length else ""
        return f"<SEQ={self.seq}>{ack}<CTL={self.flags}>{data}"


class Tell(Effect):
    """Tell the user."""

    what: str


class Tcb(Context):
    """The transmission control block, by the RFC's names."""

    iss: int
    """The first sequence number that is sent."""
    snd_una: int = 0
    snd_nxt: int = 0
    irs: int = 0
    rcv_nxt: int = 0
    is_passive: bool = False


def is_within(first: int, number: int, last: int) -> bool:
    """Whether first <= number <= last, on the circle of sequence numbers."""
    return (number - first) % MODULUS <= (last - first) % MODULUS


# Guards.


def acks_our_syn(tcb: Tcb, event: SynAck) -> bool:
    return event.ack == tcb.snd_nxt


def acks_wrongly(tcb: Tcb, event: Acking) -> bool:
    return event.ack != tcb.snd_nxt


def resets_our_syn(tcb: Tcb, event: Rst) -> bool:
    return event.ack == tcb.snd_nxt


def repeats_their_syn(tcb: Tcb, event: SynAck) -> bool:
    """Both have opened at the same time, and theirs has crossed ours."""
    return event.seq == tcb.irs and event.ack == tcb.snd_nxt


def is_next(tcb: Tcb, event: Acking) -> bool:
    """What is expected next, and acknowledges nothing that was not sent."""
    return event.seq == tcb.rcv_nxt and is_within(tcb.snd_una, event.ack, tcb.snd_nxt)


def acks_our_fin(tcb: Tcb, event: Acking) -> bool:
    """The FIN is the last that we have sent."""
    return event.seq == tcb.rcv_nxt and event.ack == tcb.snd_nxt


def is_exact(tcb: Tcb, event: Rst) -> bool:
    return event.seq == tcb.rcv_nxt


def is_exact_for_a_listener(tcb: Tcb, event: Rst) -> bool:
    return tcb.is_passive and event.seq == tcb.rcv_nxt


def is_in_window(tcb: Tcb, event: Segment) -> bool:
    return is_within(tcb.rcv_nxt, event.seq, tcb.rcv_nxt + WINDOW - 1)


# Actions.


def be_passive(tcb: Tcb, event: OpenPassively) -> Tcb:
    return tcb.replace(is_passive=True)


def send_syn(tcb: Tcb, event: OpenActively) -> Actions[Tcb]:
    yield Emit("SYN", tcb.iss)
    return tcb.replace(snd_una=tcb.iss, snd_nxt=(tcb.iss + 1) % MODULUS, is_passive=False)


def answer_syn(tcb: Tcb, event: Syn) -> Actions[Tcb]:
    """In LISTEN, or in SYN-SENT, where ours has crossed it."""
    tcb = tcb.replace(irs=event.seq, rcv_nxt=(event.seq + 1) % MODULUS, snd_una=tcb.iss)
    yield Emit("SYN,ACK", tcb.iss, tcb.rcv_nxt)
    return tcb.replace(snd_nxt=(tcb.iss + 1) % MODULUS)


def complete_handshake(tcb: Tcb, event: SynAck) -> Actions[Tcb]:
    tcb = tcb.replace(irs=event.seq, rcv_nxt=(event.seq + 1) % MODULUS, snd_una=event.ack)
    yield Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)
    return tcb


def note_ack(tcb: Tcb, event: Acking) -> Tcb:
    return tcb.replace(snd_una=event.ack)


def take(tcb: Tcb, event: Ack) -> Actions[Tcb]:
    """Note what is acknowledged, and acknowledge what has come."""
    tcb = tcb.replace(snd_una=event.ack, rcv_nxt=(event.seq + event.length) % MODULUS)
    if event.length:
        yield Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)
    return tcb


def take_fin(tcb: Tcb, event: Fin) -> Actions[Tcb]:
    tcb = tcb.replace(snd_una=event.ack, rcv_nxt=(event.seq + event.length + 1) % MODULUS)
    yield Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)
    yield Tell("connection closing")
    return tcb


def send_data(tcb: Tcb, event: Send) -> Actions[Tcb]:
    yield Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt, event.length)
    return tcb.replace(snd_nxt=(tcb.snd_nxt + event.length) % MODULUS)


def send_fin(tcb: Tcb, event: Close) -> Actions[Tcb]:
    yield Emit("FIN,ACK", tcb.snd_nxt, tcb.rcv_nxt)
    return tcb.replace(snd_nxt=(tcb.snd_nxt + 1) % MODULUS)


def send_rst(tcb: Tcb, event: Abort) -> Actions[Tcb]:
    yield Emit("RST", tcb.snd_nxt)
    return tcb


def acknowledge(tcb: Tcb, event: Segment) -> Actions[Tcb]:
    """Say what is expected: the answer to what does not belong."""
    yield Emit("ACK", tcb.snd_nxt, tcb.rcv_nxt)
    return tcb


def reset(tcb: Tcb, event: Segment) -> Actions[Tcb]:
    """There is no such connection."""
    if isinstance(event, Acking):
        yield Emit("RST", event.ack)
    else:
        yield Emit("RST,ACK", 0, (event.seq + 1) % MODULUS)
    return tcb


def tell_refused(tcb: Tcb, event: Rst) -> Actions[Tcb]:
    yield Tell("connection refused")
    return tcb


def tell_reset(tcb: Tcb, event: Rst) -> Actions[Tcb]:
    yield Tell("connection reset")
    return tcb


class ConnectionLifecycle(Lifecycle[Tcb]):
    """A TCP connection, from its opening to the end of its TIME-WAIT."""

    version = 1

    closed = State(name="CLOSED", initial=True)
    listen = State(name="LISTEN")
    syn_sent = State(name="SYN-SENT")

    class opened(Composite):
        """Their SYN has come: segments are measured by the numbers that it began."""

        syn_received = State(name="SYN-RECEIVED", initial=True)
        established = State(name="ESTABLISHED")
        fin_wait_1 = State(name="FIN-WAIT-1")
        fin_wait_2 = State(name="FIN-WAIT-2")
        close_wait = State(name="CLOSE-WAIT")
        closing = State(name="CLOSING")
        last_ack = State(name="LAST-ACK")
        time_wait = State(name="TIME-WAIT")

        send = on(Send, (established | close_wait).stay(do=send_data))
        close = on(
            Close,
            (syn_received | established).to(fin_wait_1, do=send_fin),
            close_wait.to(last_ack, do=send_fin),
            already=fin_wait_1 | fin_wait_2,
        )
        cross = on(SynAck, syn_received.to(established, when=repeats_their_syn, do=complete_handshake))
        take_ack = on(
            Ack,
            syn_received.to(established, when=acks_our_fin, do=take),  # of our SYN, the last that we have sent
            fin_wait_1.to(fin_wait_2, when=acks_our_fin, do=take),
            closing.to(time_wait, when=acks_our_fin, do=note_ack),
            (established | close_wait | fin_wait_1 | fin_wait_2).stay(when=is_next, do=take),
        )
        take_fin = on(
            Fin,
            (syn_received | established).to(close_wait, when=is_next, do=take_fin),
            fin_wait_1.to(time_wait, when=acks_our_fin, do=take_fin),
            fin_wait_1.to(closing, when=is_next, do=take_fin),
            fin_wait_2.to(time_wait, when=is_next, do=take_fin),
            time_wait.to(time_wait, do=acknowledge),  # ours was lost: the timer begins anew
        )

    deleted = Final()

    open_passively = on(OpenPassively, closed.to(listen, do=be_passive))
    open_actively = on(OpenActively, (closed | listen).to(syn_sent, do=send_syn))
    take_syn = on(
        Syn,
        (listen | syn_sent).to(opened, do=answer_syn),
        opened.stay(do=acknowledge),
        closed.stay(do=reset),
    )
    take_syn_ack = on(
        SynAck,
        syn_sent.to(opened.established, when=acks_our_syn, do=complete_handshake),
        (closed | listen | syn_sent).stay(do=reset),
        opened.stay(do=acknowledge),
    )
    take_last_ack = on(Ack, opened.last_ack.to(deleted, when=acks_our_fin))
    take_ack = on(
        Ack, (closed | listen).stay(do=reset), syn_sent.stay(when=acks_wrongly, do=reset), opened.stay(do=acknowledge)
    )
    take_fin = on(
        Fin, (closed | listen).stay(do=reset), syn_sent.stay(when=acks_wrongly, do=reset), opened.stay(do=acknowledge)
    )
    take_rst = on(
        Rst,
        syn_sent.to(deleted, when=resets_our_syn, do=tell_refused),
        opened.syn_received.to(listen, when=is_exact_for_a_listener),
        opened.to(deleted, when=is_exact, do=tell_reset),
        opened.stay(when=is_in_window, do=acknowledge),
    )
    close = on(Close, (listen | syn_sent).to(deleted))
    abort = on(Abort, (listen | syn_sent).to(deleted), opened.to(deleted, do=send_rst))
    linger = after(2 * MSL, opened.time_wait.to(deleted))


# Two ends, and what lies between them.


def arriving(sent: Emit) -> Segment:
    """What a segment that was sent is to the other end."""
    ack = 0 if sent.ack is None else sent.ack
    if "RST" in sent.flags:
        return Rst(sent.seq, sent.ack)
    if sent.flags == "SYN":
        return Syn(sent.seq)
    kind = {"SYN,ACK": SynAck, "FIN,ACK": Fin, "ACK": Ack}[sent.flags]
    return kind(sent.seq, ack, sent.length)


class End:
    """One end of a connection: a machine, the segments that it has sent and nobody has carried away, what it told."""

    def __init__(self, iss: int) -> None:
        self.machine = Machine(ConnectionLifecycle, Tcb(iss=iss))
        self.sent: list[Emit] = []
        self.told: list[str] = []
        self.machine.listen(lambda step: self._keep(step.effects))

    def _keep(self, effects: tuple[EffectMarker, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Emit):
                self.sent.append(effect)
            elif isinstance(effect, Tell):
                self.told.append(effect.what)

    @property
    def state(self) -> str:
        """As the RFC writes it."""
        return self.machine.state.rpartition(".")[2]

    def call(self, event: Event) -> None:
        """A call of the user's, or a timer.

        Raises:
            Refused: it does not belong here.
        """
        self.machine.send(event)

    def receive(self, segment: Segment) -> Refusal | None:
        """Take a segment; what is dropped in silence is a refusal."""
        answer = self.machine.attempt(segment)
        return answer if isinstance(answer, Refusal) else None


def exchange(one: End, other: End) -> list[str]:
    """Carry segments to and fro until there are none; a line for each."""
    lines: list[str] = []
    while one.sent or other.sent:
        for source, target, arrow in ((one, other, "-->"), (other, one, "<--")):
            carried, source.sent = source.sent, []
            for sent in carried:
                target.receive(arriving(sent))
                lines.append(f"{one.state:<12} {arrow} {sent} {other.state}")
    return lines


def main() -> None:
    """A connection is opened, used, and closed by the end that opened it."""
    client, server = End(iss=100), End(iss=300)
    server.call(OpenPassively())
    client.call(OpenActively())
    print(*exchange(client, server), sep="\n")
    client.call(Send(length=10))
    print(*exchange(client, server), sep="\n")
    print(server.machine.why(Rst(seq=5)))
    client.call(Close())
    print(*exchange(client, server), sep="\n")
    server.call(Close())
    print(*exchange(client, server), sep="\n")
    client.call(Elapsed("linger@opened.TIME-WAIT"))
    print(client.state, server.state)


if __name__ == "__main__":
    main()
