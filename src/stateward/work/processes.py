"""Which process a worker is, so that a peer on the same machine sees at once that it has ended.

Without it, a worker that was killed and started again would wait for its own former lease to run out. Where a process
can't be told for certain, nothing is said, and the lease has to run out.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["is_gone", "this_process"]


def this_process() -> str:
    """The machine's boot, the namespace of process ids, the id, and when it started: no two processes share them."""
    return _process(os.getpid()) or f"{socket.gethostname()}/{os.getpid()}"


def is_gone(process: str) -> bool:
    """Whether a process has certainly ended: one of this machine and namespace that is not there any more."""
    where, _, rest = process.partition("#")
    number, _, _ = rest.partition("/")
    if not number.isdecimal() or _namespace() != where:
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    found = _process(int(number))
    return found is not None and found != process


def _process(number: int) -> str | None:
    """None: it can't be told, or not by this user."""
    where = _namespace()
    if where is None:
        return None
    try:
        # Behind the name, which may hold anything, come the state and then numbers; the 20th of them is the start.
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return f"{where}#{number}/{started if state not in 'ZX' else 'ended'}"


def _namespace() -> str | None:
    """What process ids are unique within; None: this system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
