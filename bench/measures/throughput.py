"""Measure 2: no-op tasks a second, end to end: enqueued one by one, and as one fan-out.

From the first task's enqueueing until every result can be seen. A system that is not
through when its time is up is told by what it had done by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.run import Bench
from bench.system import Nodes, Stamps, System, warm_up

TITLE = "Throughput"


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """What was asked for; without the fan-out if the first part was not through in time,
    for what is left of that would disturb it. It is then asked for on its own."""
    parts = {"one_by_one": one_by_one, "fan_out": fan_out}
    found: dict[str, Any] = {}
    with Stamps(system.place.folder) as stamps:
        nodes.start()
        warm_up(nodes, stamps)
        for part in options["parts"]:
            settle(system.finished)
            found[part] = parts[part](system, options["tasks"], options["seconds"])
            if found[part]["done"] < options["tasks"]:
                break
    return found


def one_by_one(system: System, count: int, seconds: float) -> dict[str, Any]:
    began, before = time.monotonic(), system.finished()
    sent = 0
    while sent < count and (sent % 100 or time.monotonic() - began < seconds):
        system.enqueue("noop")
        sent += 1
    return until_done(lambda: system.finished() - before, count, began, seconds)


def fan_out(system: System, count: int, seconds: float) -> dict[str, Any]:
    began, before = time.monotonic(), system.finished()
    system.fan_out("noop", [()] * count)
    before *= system.finished_adds_up
    return until_done(lambda: system.finished_of_fan_out() - before, count, began, seconds)


def until_done(
    finished: Callable[[], int], count: int, began: float, seconds: float
) -> dict[str, Any]:
    """Tasks a second by the time all are done, or the time is up."""
    enqueued = time.monotonic() - began
    while (done := finished()) < count and time.monotonic() - began < seconds:
        time.sleep(0.02)
    took = time.monotonic() - began
    return {
        "done": done,
        "seconds": round(took, 3),
        "per_second": round(done / took, 1),
        "enqueued_after": round(enqueued, 3),
    }


def settle(finished: Callable[[], int]) -> None:
    """Wait until nothing more of the warming up comes in."""
    before = -1
    while (now := finished()) != before:
        before = now
        time.sleep(0.3)


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {"tasks": 5000, "seconds": 12},
        quick={"tasks": 1000, "seconds": 4},
    )
    both = ["one_by_one", "fan_out"]

    def one(name: str, number: int) -> dict[str, Any]:
        found = bench.session(name, "throughput", {**options, "parts": both})
        if "one_by_one" in found and "fan_out" not in found:
            found |= bench.session(name, "throughput", {**options, "parts": ["fan_out"]})
        return found

    return {"options": options, "rounds": bench.interleave(one)}
