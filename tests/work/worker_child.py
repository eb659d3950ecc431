"""A worker in a process of its own, which is told what to do by lines, and tells what happens by lines."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from threading import Event
from typing import Any

from stateward import Call, Retry
from stateward.engine import Engine
from stateward.work import WorkerSettings
from tests.work.lifecycles import JobLifecycle, Task, Told

__all__ = ["main"]

SETTINGS = WorkerSettings(lease=timedelta(milliseconds=500), poll=timedelta(milliseconds=20))


def say(line: str) -> None:
    print(line, flush=True)


def main(address: str, act: str) -> None:
    engine = Engine(address, lifecycles=[JobLifecycle])
    go_on = Event()

    @engine.handles(Task, retry=Retry(limit=3))
    def handle(effect: Task, call: Call) -> Any:
        say(f"handling {effect.name} {call.attempt}")
        if act == "die" and effect.name == "poison":
            os._exit(9)
        if act == "wait":
            go_on.wait()
        return Told(what=f"child {effect.name}")

    if act == "die":
        engine.drain()
        say("drained")
    elif act == "run":
        engine.run(SETTINGS)
        say("ended")
    else:
        engine.start(SETTINGS)
        sys.stdin.readline()
        go_on.set()
        worker = engine._worker
        assert worker is not None
        while worker._leases_lost == 0:
            pass
        say("lost")
        sys.stdin.readline()
        engine.stop()
        say("ended")
    engine.close()


if __name__ == "__main__":
    signal.alarm(60)  # nobody waits for one that hangs
    main(*sys.argv[1:])
