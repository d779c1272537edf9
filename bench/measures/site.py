"""Measure 5: how the site answers while every core computes, against the same site idle; and
with many old runs, against few, and beside large results, against none.

gunicorn as in production, asked over HTTP at random moments: the home page and the page
of the run that is at work. With many runs the site is asked inside this process, so that only
its own time is measured: the first page, and searches that find much and nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

from bench.run import Bench, say
from bench.system import ROOT, Nodes, Stamps, System, free_port, python, wait_until, warm_up
from bench.systems import OURS
from bench.systems.ours import collect_static

TITLE = "The site under computation"
#: Pages that are asked for with many runs.
PAGES = {"home": "/", "found": "/?q=1,000", "not_found": "/?q=nothing", "by_n": "/?q=77"}
HEADERS = {"Accept": "text/html,*/*;q=0.8", "X-Forwarded-Proto": "https"}


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of each request: idle, and while computing."""
    if "runs" in options:
        return with_runs(options["runs"], options["times"])
    if "results" in options:
        return beside_results(options["results"])
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


# --- with many old runs -----------------------------------------------------------------


def with_runs(runs: int, times: int) -> dict[str, float]:
    """Milliseconds (median) of pages with so many runs that have ended."""
    from django.test import Client

    collect_static()
    fill(runs)
    client = Client()
    found = {}
    for name, address in PAGES.items():
        took = []
        for number in range(times + 2):
            began = time.monotonic()
            reply = client.get(address, headers={"accept": HEADERS["Accept"]}, secure=True)
            if number > 1:  # the first ones fill caches
                took.append((time.monotonic() - began) * 1000)
            assert reply.status_code == 200, (address, reply.content[:500])
        found[name] = round(median(took), 3)
    return found


def fill(runs: int) -> None:
    """Have so many runs in the table, none of them with a chunk: no page reads old ones'."""
    from django.db import connection
    from django.db.models.functions import Now

    from compute.models import Run

    if not Run.objects.exists():
        sample = {"parameters": {"n": 1000}, "title": "sum 1–1,000", "state": Run.State.DONE}
        sample |= {"result": 500500, "shown": "500500", "work_seconds": 0.1, "finished_at": Now()}
        Run.objects.create(task_id="first", computation="sum", chunk_size=100, chunks=10, **sample)
    columns = [field.column for field in Run._meta.concrete_fields if not field.primary_key]
    same = ", ".join(f'"{column}"' for column in columns if column != "task_id")
    postgres = connection.vendor == "postgresql"
    digits = "lpad(i::text, 32, '0')" if postgres else "printf('%%032d', i)"
    numbers = "generate_series(%s, %s) AS numbers(i)" if postgres else "numbers"
    series = (
        ""
        if postgres
        else (
            "WITH RECURSIVE numbers(i) AS "
            "(SELECT %s UNION ALL SELECT i + 1 FROM numbers WHERE i < %s) "
        )
    )
    there = Run.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO compute_run (task_id, {same}) {series}"
            f"SELECT {digits}, {same} FROM {numbers}, compute_run WHERE task_id = 'first'",
            [there, runs - 1],
        )
        if postgres:  # as it does by itself in time
            cursor.execute("VACUUM ANALYZE compute_run")


# --- beside large results ---------------------------------------------------------------


def beside_results(times: int) -> dict[str, Any]:
    """Pages while eight other runs have small results, large ones, 142 MB in all, and small ones
    again: milliseconds of each request, its bytes, its statements."""
    from compute.shapes import File, Table

    collect_static()
    fill(100)
    other, *others = (finished_run(name) for name in ("other", *map(str, range(8))))
    check = f"/compute/primes/check/?task_id={other.task_id}"
    asked = {
        "home": ("/", HEADERS["Accept"]),
        "list": ("/compute/primes/", HEADERS["Accept"]),
        "page": (check, HEADERS["Accept"]),
        "check": (check, "application/json"),
    }
    found = {}
    for when, rows in (("without", 2), ("with", 60_000), ("again", 2)):
        keep(other, Table([[1, "one"], [2, "two"]], ["number", "word"]))
        for run in others:
            keep(run, Table(([number, "x" * 90] for number in range(rows)), ["n", "text"]))
        if when == "with":
            keep(others[0], File(os.urandom(10**6) for _ in range(100)))
        found[when] = each_page(asked, times)
    return found


def finished_run(name: str) -> Any:
    from uuid import uuid4

    from django.db.models.functions import Now

    from compute.models import Run

    ended = {"state": Run.State.DONE, "finished_at": Now(), "work_seconds": 0.1, "shown": name}
    return Run.objects.create(
        task_id=uuid4().hex,
        computation="primes",
        title=name,
        parameters={"n": 1},
        chunk_size=100,
        chunks=1,
        **ended,
    )


def keep(run: Any, shape: Any) -> None:
    """Have this as the run's result, in the place of another."""
    from compute.models import Output
    from compute.models.keeping import Keeper
    from compute.queue.contents import remove

    keeper = Keeper(run)
    keeper.keep({"": shape})
    remove([output.content_id for output in run.outputs.all()])
    run.outputs.all().delete()
    Output.objects.bulk_create(keeper.outputs)


def each_page(asked: dict[str, tuple[str, str]], times: int) -> dict[str, Any]:
    """Of each page in turn, so that all have the same from the machine."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, found = Client(), {name: {"ms": []} for name in asked}
    for number in range(times + 2):
        for name, (address, accept) in asked.items():
            headers = {"accept": accept}
            began = time.monotonic()
            reply = client.get(address, headers=headers, secure=True)
            if number > 1:  # the first ones fill caches
                found[name]["ms"].append(round((time.monotonic() - began) * 1000, 3))
                continue
            assert reply.status_code == 200, (address, reply.content[:500])
            with CaptureQueriesContext(connection) as statements:
                reply = client.get(address, headers=headers, secure=True)
            found[name] |= {"bytes": len(reply.content), "statements": len(statements)}
    return found


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {"seconds": 12, "runs": [500, 500_000], "times": 40},
        quick={"seconds": 3, "runs": [500, 50_000], "times": 10},
    )
    asked = {"seconds": options["seconds"]}
    rounds = bench.interleave(lambda name, _: bench.session(name, "site", asked), OURS)
    for number, found in enumerate(rounds):
        for name in bench.mine(OURS):
            with bench.open(name, "site") as session:
                found[name]["with_runs"] = {
                    str(runs): session.ask({"runs": runs, "times": options["times"]})
                    for runs in options["runs"]
                }
            with bench.open(name, "site") as session:
                beside = session.ask({"results": options["times"]})
            found[name]["beside_results"] = beside
            say(f"site: {name}: round {number + 1}: {found[name]['with_runs']}")
    return {"options": options, "rounds": rounds}
