"""Parts of a run on real workers: a picture that fills in and ends exact, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from typing import Any
from urllib.request import Request, urlopen

import pytest

from compute.computations.mandelbrot import MANDELBROT
from compute.models import Partial, Run
from compute.models.run import SO_FAR
from compute.queue.contents import Content
from compute.queue.models import Flow, Job
from tests.conftest import started
from tests.processes import Processes, wait_until

VIEW: dict[str, Any] = {"x": "-0.5", "y": "0", "width": "1", "pixels": 256, "iterations": 1000}


def look(site: str, run: Run) -> str:
    """The part of its page that a browser asks for again and again."""
    headers = {"Accept": "text/html", "HX-Request": "true"}
    address = f"{site}{run.get_absolute_url()}"
    with urlopen(Request(address, headers=headers), timeout=30) as reply:
        text: str = reply.read().decode()
    return text


def picture(site: str, run: Run, **part: str) -> bytes:
    query = "".join(f"&{name}={value}" for name, value in part.items())
    address = f"{site}/compute/mandelbrot/result/?task_id={run.task_id}{query}"
    with urlopen(address, timeout=30) as reply:
        data: bytes = reply.read()
    return data


def exact() -> bytes:
    """The picture, made here and now."""
    form: Any = MANDELBROT.form({name: str(value) for name, value in VIEW.items()})
    assert form.is_valid()
    cut = MANDELBROT.cut
    assert cut is not None
    chunks = cut(chunk_size=1024, **form.cleaned_data)
    data: bytes = MANDELBROT.combine(MANDELBROT.function(*chunk) for chunk in chunks).data
    return data


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.state != Run.State.IN_PROGRESS


def left(*runs: Run) -> list[str]:
    """What is left of their parts: no task, line or content is to be."""
    jobs: set[Job] = set()
    outputs: set[str] = set()
    for run in runs:
        run.refresh_from_db()
        jobs.update(run.everything())
        outputs.update(run.outputs.values_list("content_id", flat=True))
    contents = Content.objects.exclude(holder="").exclude(pk__in=outputs)
    return [
        *(f"part {each}" for each in Partial.objects.all()),
        *(f"job {each}" for each in set(Job.objects.all()) - jobs),
        *(f"line {each}" for each in Flow.objects.filter(key__startswith=SO_FAR)),
        *(f"content {each}" for each in contents),
    ]


def wait_until_tidy(*runs: Run) -> None:
    try:
        wait_until(lambda: not left(*runs), 60)
    except AssertionError:
        assert left(*runs) == []


def test_a_picture_fills_in_and_ends_exact(processes: Processes) -> None:
    whole = exact()
    _, site = processes.web()
    processes.node()
    run = started("/compute/mandelbrot/start/", chunk_size=2, **VIEW)

    def part() -> bool:
        assert not ended(run), "no part of it was seen"
        return f"of {run.chunks} chunks</h2>" in look(site, run)

    wait_until(part, 60)
    first = picture(site, run, part="1")
    assert first[:8] == whole[:8]
    assert first != whole
    seen = {Partial.objects.get().chunks}

    def goes_on() -> bool:
        look(site, run)
        seen.update(Partial.objects.values_list("chunks", flat=True))
        return ended(run)

    wait_until(goes_on, 120)
    assert picture(site, run) == whole
    wait_until_tidy(run)
    assert max(seen) <= run.chunks


def test_a_kill_in_the_midst_of_a_part_leaves_all_exact(processes: Processes) -> None:
    _, site = processes.web()
    nodes = [processes.node(), processes.node()]
    run = started("/compute/mandelbrot/start/", chunk_size=2, **VIEW)

    def at_work() -> bool:
        look(site, run)
        job = Job.objects.filter(name__endswith=", so far", state=Job.State.RUNNING).first()
        if job and job.worker:
            os.kill(job.worker, signal.SIGKILL)
        return bool(job) or ended(run)

    wait_until(at_work, 60)
    nodes[0].kill_all()

    def over() -> bool:
        look(site, run)
        return ended(run)

    wait_until(over, 120)
    assert run.state == Run.State.DONE
    assert picture(site, run) == exact()
    wait_until_tidy(run)


@pytest.mark.long
def test_whatever_is_killed_for_a_minute_nothing_is_lost_or_left(processes: Processes) -> None:
    _, site = processes.web()
    nodes = [processes.node(), processes.node()]
    view = started("/compute/mandelbrot/start/", chunk_size=1, **VIEW)
    total = started("/split-sum-start/", n=10**9, chunk_size=5 * 10**6)
    chance, kills, parts = random.Random(1), 0, 0  # noqa: S311 - no secret
    until = time.monotonic() + 60
    while time.monotonic() < until and not (ended(view) and ended(total)):
        for run in (view, total):
            look(site, run)
        at_work = Job.objects.filter(state=Job.State.RUNNING).exclude(worker=None)
        part = at_work.filter(name__endswith=", so far").first()
        if part and part.worker:
            parts += 1
            kill(part.worker)
        elif chance.random() < 0.1:
            # What has killed its workers three times would count as failed.
            for job in at_work.filter(deaths=0)[:1]:
                kills += 1
                kill(job.worker or 0)
        elif chance.random() < 0.03:
            kills += 1
            nodes.pop(0).kill_all()
            nodes.append(processes.node())

    def over() -> bool:
        looks = [look(site, run) for run in (view, total)]
        return all(looks) and ended(view) and ended(total)

    wait_until(over, 240)
    print(f"{kills} kills, and {parts} of those that made a part")
    assert (view.state, total.state) == (Run.State.DONE, Run.State.DONE)
    assert picture(site, view) == exact()
    assert total.result == 10**9 * (10**9 + 1) // 2
    wait_until_tidy(view, total)
    assert parts


def kill(worker: int) -> None:
    with suppress(ProcessLookupError):
        if worker:
            os.kill(worker, signal.SIGKILL)
