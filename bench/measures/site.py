"""Measure 5: how the site answers while every core computes, against the same site idle.

gunicorn as in production, asked over HTTP at random moments: the home page and the page
of the run that is at work.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from typing import Any
from urllib.request import Request, urlopen

from bench.run import Bench
from bench.system import ROOT, Nodes, Stamps, System, free_port, python, wait_until, warm_up
from bench.systems import OURS
from bench.systems.ours import collect_static

TITLE = "The site under computation"
HEADERS = {"Accept": "text/html,*/*;q=0.8", "X-Forwarded-Proto": "https"}


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of each request: idle, while computing, and idle again."""
    from compute.computations.sums import SUM
    from compute.models import Run
    from compute.models.plans import plan

    collect_static()
    port = free_port()
    site = f"http://localhost:{port}"
    with open(f"{system.place.folder}/web.log", "wb") as log:
        web = subprocess.Popen(
            python("-m", "gunicorn", "sumsite.wsgi"),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PORT": str(port)},
        )
    try:
        with Stamps(system.place.folder) as stamps:
            nodes.start()
            warm_up(nodes, stamps)
        wait_until(lambda: answers(f"{site}/healthz"), 20, 0.1)
        run = plan(SUM, {"n": 1_000_000}, 1_000).start()
        wait_until(Run.objects.filter(pk=run.pk, state=Run.State.DONE).exists, 60, 0.1)
        addresses = {"home": f"{site}/", "check": f"{site}/split-sum-check/?task_id={run.task_id}"}
        for _ in range(10):  # each web process fills its caches
            for address in addresses.values():
                fetch(address)
        found = {"idle": ask(addresses, options["seconds"])}
        run = plan(SUM, {"n": 10**11}, 10**8).start()  # a thousand chunks, too
        wait_until(lambda: run.jobs.filter(state="running").exists(), 60, 0.1)
        addresses["check"] = f"{site}/split-sum-check/?task_id={run.task_id}"
        found["computing"] = ask(addresses, options["seconds"])
        run.cancel("the measure")
        return found
    finally:
        web.terminate()
        web.wait()


def ask(addresses: dict[str, str], seconds: float) -> dict[str, list[float]]:
    chance = random.Random(1)
    took: dict[str, list[float]] = {name: [] for name in addresses}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, address in addresses.items():
            time.sleep(chance.uniform(0.02, 0.1))
            began = time.monotonic()
            fetch(address)
            took[name].append(round((time.monotonic() - began) * 1000, 2))
    return took


def fetch(address: str) -> None:
    with urlopen(Request(address, headers=HEADERS), timeout=30) as reply:
        reply.read()


def answers(address: str) -> bool:
    try:
        fetch(address)
    except OSError:
        return False
    return True


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose({"seconds": 12}, quick={"seconds": 3})
    rounds = bench.interleave(lambda name, _: bench.session(name, "site", options), OURS)
    return {"options": options, "rounds": rounds}
