"""Measure 4: what a chunk, a start, a check and a page cost as runs and tables grow.

Ours alone: the tables are filled with finished runs of 10,000 chunks each, as many as
it takes, and the site is asked inside this process, so that no network is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.run import Bench, say
from bench.system import Nodes, Stamps, System, wait_until, warm_up
from bench.systems import OURS
from bench.systems.ours import collect_static

TITLE = "Growth"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROGRAM = {"accept": "application/json"}
#: Chunks of each run that old tasks belong to.
OLD = 10_000


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    if options["what"] == "chunks":
        return chunks(system, nodes, options["counts"])
    collect_static()
    fill(options["old"])
    return {str(count): pages(count) for count in options["counts"]}


# --- the cost of a chunk --------------------------------------------------------------


def chunks(system: System, nodes: Nodes, counts: dict[str, int]) -> dict[str, Any]:
    """Milliseconds a chunk of next to no work costs, by how many there are; of each run."""
    from compute.computations.sums import SUM
    from compute.models import Run
    from compute.models.plans import plan

    if not nodes.started:
        with Stamps(system.place.folder) as stamps:
            nodes.start()
            warm_up(nodes, stamps)
    found: dict[str, list[float]] = {}
    for count, times in counts.items():
        found[count] = []
        for _ in range(times):
            began = time.monotonic()
            run = plan(SUM, {"n": int(count)}, 1).start()
            done = Run.objects.filter(pk=run.pk, state=Run.State.DONE)
            wait_until(done.exists, 240, 0.005)
            found[count].append(round((time.monotonic() - began) * 1000 / int(count), 4))
    return found


# --- starts, checks and pages -----------------------------------------------------------


def pages(count: int) -> dict[str, float]:
    """Milliseconds (median) of a start with so many chunks, and of what asks about it."""
    from django.db.models.functions import Now
    from django.test import Client
    from django_q.models import OrmQ

    from compute.models import Run
    from compute.models.notes import refresh
    from compute.queue.models import Job

    client = Client()
    client.raise_request_exception = True

    def get(address: str, headers: dict[str, str]) -> Any:
        reply = client.get(address, headers=headers, secure=True)
        assert reply.status_code == 200, (address, reply.content[:500])
        return reply

    def start() -> Any:
        return get(f"/split-sum-start/?n={count}&chunk_size=1", PROGRAM)

    started = [timed(start, 1) for _ in range(3)]
    run = Run.objects.order_by("-pk")[0]
    # Half of it done, two chunks at work: a running run that holds still.
    half = run.jobs.filter(position__lt=count // 2)
    OrmQ.objects.filter(pk__in=half.order_by().values("queue_id")).delete()
    half.order_by().update(state=Job.State.DONE, started_at=Now(), finished_at=Now(), result=1)
    at_work = run.jobs.filter(position__in=(count // 2, count // 2 + 1))
    at_work.order_by().update(state=Job.State.RUNNING, started_at=Now())
    check = f"/split-sum-check/?task_id={run.task_id}"
    found = {
        "start": median(started),
        "check": timed(lambda: get(check, PROGRAM), 15),
        "page": timed(lambda: get(check, BROWSER), 7),
        "home": timed(lambda: get("/", BROWSER), 7),
    }
    for each in Run.objects.filter(state=Run.State.IN_PROGRESS):
        each.cancel("the measure")
        refresh(each)
    return {name: round(milliseconds, 3) for name, milliseconds in found.items()}


def timed(call: Callable[[], Any], times: int) -> float:
    took = []
    for number in range(times + 2 * (times > 1)):
        began = time.monotonic()
        call()
        if number > 1 or times == 1:  # the first ones fill caches
            took.append((time.monotonic() - began) * 1000)
    return median(took)


# --- old tasks ----------------------------------------------------------------------------


def fill(old: int) -> None:
    """Have so many finished tasks in the tables, with what each leaves behind."""
    from django.db import connection, transaction

    from compute.models import Run
    from compute.queue.models import Job
    from compute.queue.results import pickled

    there = Run.objects.filter(title="old").count()
    postgres = connection.vendor == "postgresql"
    numbers = "generate_series(0, %(last)s) AS numbers(i)"
    if not postgres:
        numbers = (
            "(WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers "
            "WHERE i < %(last)s) SELECT i FROM numbers)"
        )
    for number in range(there, -(-old // OLD)):
        group = f"{number:032x}"
        values = {
            "group": group,
            "last": min(OLD, old) - 1,
            "now": connection.ops.adapt_datetimefield_value(_now()),
            "result": pickled(1),
            "none": pickled(()),
        }
        digits = "lpad(i::text, 6, '0')" if postgres else "printf('%%06d', i)"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"""
                INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, state,
                    delivery, attempt, deaths, progress, queued_at, started_at, finished_at,
                    result, error, error_class, payload)
                SELECT substr(%(group)s, 7) || {digits}, %(group)s, i, 'sumsite',
                    -1 - i - {number * OLD}, 'old', 'done', 1, 1, 0, 0, %(now)s, %(now)s, %(now)s,
                    %(result)s, '', '', ''
                FROM {numbers}
                """,
                values,
            )
            cursor.execute(
                f"""
                INSERT INTO django_q_task (id, name, func, args, kwargs, "group", started, stopped,
                    result, success, attempt_count)
                SELECT substr(%(group)s, 7) || {digits}, 'old', 'compute.tasks.get_sum_range',
                    %(none)s, %(none)s, %(group)s, %(now)s, %(now)s, %(result)s,
                    {"true" if postgres else "1"}, 1
                FROM {numbers}
                """,
                values,
            )
        Run.objects.create(
            task_id=group,
            computation="sum",
            parameters={"n": OLD},
            title="old",
            chunk_size=1,
            chunks=values["last"] + 1,
            state=Run.State.DONE,
            result=1,
            finished_at=_now(),
            work_seconds=0.1,
        )
    with connection.cursor() as cursor:  # as the databases do by themselves in time
        cursor.execute("ANALYZE")
    assert old < OLD or Job.objects.count() >= old


def _now() -> Any:
    from django.utils import timezone

    return timezone.now()


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {
            "chunks": {"10": 10, "100": 6, "1000": 2, "10000": 1},
            "old": [1, 10_000, 100_000, 1_000_000],
            "counts": [10, 100, 1_000, 10_000],
        },
        quick={
            "chunks": {"10": 5, "100": 3, "1000": 1},
            "old": [1, 10_000],
            "counts": [10, 10_000],
        },
    )
    rounds = []
    for _ in bench.turns():
        found: dict[str, Any] = {}
        for name in bench.mine(OURS):
            asked = {"what": "chunks", "counts": options["chunks"]}
            found[name] = {"chunk": bench.session(name, "growth", asked)}
        rounds.append(found)
    for name in bench.mine(OURS):
        with bench.open(name, "growth") as session:
            grown = {}
            for old in options["old"]:
                asked = {"what": "pages", "old": old, "counts": options["counts"]}
                grown[str(old)] = session.ask(asked)
                say(f"growth: {name}: {old} old tasks: {grown[str(old)]}")
        rounds[0][name]["pages"] = grown
    return {"options": options, "rounds": rounds}
