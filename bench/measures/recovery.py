"""Measure 7: seconds until the task of a killed node runs again on another.

Two nodes are up, at their defaults; the one that runs the task gets SIGKILL, every
process of it. All systems wait side by side, for they do nothing else.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.figures import found
from bench.run import Bench
from bench.system import Nodes, Stamps, System, family, warm_up

TITLE = "Recovery"


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """`seconds` is None if it has not run again within what was to be waited."""
    with Stamps(system.place.folder) as stamps:
        nodes.start()
        nodes.start()
        warm_up(nodes, stamps, 100)
        time.sleep(3)  # or the second node might not be ready
        system.enqueue("hold", stamps.address, 600)
        first = stamps.receive(30)
        if first is None:
            raise RuntimeError("the task did not start")
        time.sleep(2)  # what a node does a moment after a task's start, it has done
        families = [family(node) for node in nodes.started]
        killed = [each for each in families if first[2] in [process.pid for process in each]]
        if len(killed) != 1:
            raise RuntimeError("the task runs in none of the nodes")
        for process in killed[0]:
            process.kill()
        began = time.monotonic()
        second = stamps.receive(options["seconds"])
    return {"seconds": round(second[1] - began, 2) if second else None}


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose({"seconds": 120}, quick={"seconds": 20})
    rounds: list[dict[str, Any]] = []
    for number in bench.turns():
        names = bench.names
        if number >= bench.rounds_of_others:  # what did not come back is not waited for again
            names = [name for name in names if found(rounds[-1], name, "seconds")]
        with ThreadPoolExecutor(max(1, len(names))) as executor:
            each = executor.map(lambda name: bench.session(name, "recovery", options), names)
            rounds.append(dict(zip(names, each, strict=True)))
    return {"options": options, "rounds": rounds}
