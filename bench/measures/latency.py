"""Measure 1: from enqueueing to the start, and to a result that the web process sees.

One task at a time, at random moments, on an idle system.
"""

from __future__ import annotations

import random
import time
from typing import Any

from bench.run import Bench
from bench.system import Nodes, Stamps, System, warm_up

TITLE = "Latency"


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of each sample, as many as asked for or as fit into the time."""
    start_ms, visible_ms = [], []
    chance = random.Random(options["seed"])
    with Stamps(system.place.folder) as stamps:
        nodes.start()
        warm_up(nodes, stamps)
        end = time.monotonic() + options["seconds"]
        for number in range(options["samples"]):
            time.sleep(chance.uniform(0.01, 0.09))
            began = time.monotonic()
            task = system.enqueue("stamp", stamps.address, number)
            while not system.is_visible(task):
                # Often enough for a tenth of a millisecond's error, and no load to speak of.
                time.sleep(0.0002)
                if time.monotonic() - began > 30:
                    raise RuntimeError("no result was visible within 30 s")
            visible = time.monotonic()
            stamp = stamps.receive(1)
            if stamp is None or stamp[0] != number:
                raise RuntimeError(f"of task {number} came {stamp}")
            start_ms.append(round((stamp[1] - began) * 1000, 3))
            visible_ms.append(round((visible - began) * 1000, 3))
            if visible > end:
                break
    return {"start_ms": start_ms, "visible_ms": visible_ms}


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose({"samples": 67, "seconds": 20}, quick={"samples": 25, "seconds": 4})

    def one(name: str, number: int) -> dict[str, Any]:
        return bench.session(name, "latency", {**options, "seed": number})

    return {"options": options, "rounds": bench.interleave(one)}
