"""Measure 3: a split sum, against a bare process pool over the same ranges and a Celery chord.

All are kept ready and take turns, for each number of chunks; who waits is idle.
`python -m bench.measures.job N SIZE` is the pool, in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.functions import sum_range
from bench.run import Bench, say
from bench.system import ROOT, WORKERS, Nodes, Stamps, System, python, wait_until, warm_up
from bench.systems import OURS
from compute.chunking import best_chunk_size, ranges

TITLE = "The job itself"
#: Seconds after which a run is given up; it would tell nothing more.
PATIENCE = 240
#: Seconds between two looks whether it is done; a page looks every second or two.
LOOK = 0.1
NAMES = (*OURS, "celery-redis")


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds from the request to the total that the web process reads."""
    if not nodes.started:
        with Stamps(system.place.folder) as stamps:
            nodes.start()
            warm_up(nodes, stamps)
    if options.get("n") is None:
        return {}
    n, size = options["n"], options["chunk_size"]
    began = time.monotonic()
    if name == "celery-redis":
        result = system.split_sum(ranges(n, size))
        wait_until(result.ready, PATIENCE, LOOK)
        total = result.get()
    else:
        from compute.computations.sums import SUM
        from compute.models import Run
        from compute.models.plans import plan

        run = plan(SUM, {"n": n}, size).start()
        done = Run.objects.filter(pk=run.pk, state=Run.State.DONE)
        total = wait_until(done.values_list("result", flat=True).first, PATIENCE, LOOK)
    took = time.monotonic() - began
    if int(total) != n * (n + 1) // 2:
        raise RuntimeError(f"a wrong total: {total}")
    return {"seconds": round(took, 3)}


def pool(n: int, size: int) -> float:
    """The limit: nothing but two processes and the ranges."""
    began = time.monotonic()
    with ProcessPoolExecutor(WORKERS) as executor:
        total = sum(executor.map(sum_range, *zip(*ranges(n, size), strict=True)))
    took = time.monotonic() - began
    assert total == n * (n + 1) // 2, total
    return round(took, 3)


def speed() -> float:
    began = time.monotonic()
    sum_range(1, 5_000_000)
    return 5_000_000 / (time.monotonic() - began)


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {"n": 10**9, "rounds": {"auto": 9, "10": 1, "400": 9, "4000": 9}, "others": 1},
        quick={"n": 5 * 10**7, "rounds": {"auto": 9, "400": 9, "4000": 9}, "others": 9},
    )
    n = options["n"]
    automatic, why = best_chunk_size(n, speed(), WORKERS)
    sizes = {"auto": automatic, **{count: -(-n // int(count)) for count in ("10", "400", "4000")}}
    rounds: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        names = bench.mine(NAMES)
        sessions = {name: stack.enter_context(bench.open(name, "job")) for name in names}
        for session in sessions.values():
            session.ask({})
        for number in bench.turns():
            rounds.append({})
            for chunks, times in options["rounds"].items():
                if number >= times:
                    continue
                found = rounds[-1][chunks] = {}
                order = ["pool", *sessions]
                if number % 2:
                    order.reverse()
                for name in order:
                    if name not in ("pool", *OURS) and number >= options["others"]:
                        continue
                    asked = {"n": n, "chunk_size": sizes[chunks]}
                    alone = name == "pool"
                    found[name] = in_a_pool(asked) if alone else sessions[name].ask(asked)
                say(f"job: {chunks} chunks: {found}")
    return {"options": options, "sizes": sizes, "why": why, "rounds": rounds}


def in_a_pool(asked: dict[str, int]) -> dict[str, Any]:
    command = python("-m", "bench.measures.job", str(asked["n"]), str(asked["chunk_size"]))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {"seconds": json.loads(done.stdout)}


if __name__ == "__main__":
    print(pool(int(sys.argv[1]), int(sys.argv[2])))
