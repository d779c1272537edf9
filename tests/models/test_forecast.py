"""When a run will start and end, by how the workers are shared."""

from __future__ import annotations

import heapq
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.models.fluid import Line
from compute.models.forecast import forecast, forecasts, played
from tests.models.queues import lines

# --- when ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "workers", "seconds"), [(8, 4, 4), (9, 4, 6), (3, 4, 2), (10_000, 4, 5_000)]
)
def test_a_run_alone_takes_its_work_by_the_workers_in_whole_tasks(
    waiting: int, workers: int, seconds: float
) -> None:
    found = forecast([Line("a", 2, waiting, begun=False)], workers, 0)
    assert found.ends_in == pytest.approx(seconds)
    assert (found.starts_in, found.workers) == (0, min(waiting, workers))


def test_what_is_at_work_ends_when_it_is_through() -> None:
    assert forecast([Line("a", 2, 0, (0.5, 1.5))], 4, 0).ends_in == 1.5
    assert forecast([Line("a", 2, 1, (0.5, 1.5))], 2, 0).ends_in == 2.5


def test_a_newcomer_is_next_when_a_task_ends() -> None:
    giant = Line("a", 3, 10_000, (0.5, 1, 2, 3), served=100, had=100)
    newcomer = Line("b", 3, 2, begun=False, served=None, had=None)
    found = forecast([giant, newcomer], 4, 1)
    assert (found.starts_in, found.ends_in) == (0.5, 5)  # from its first bill on they take turns
    # It has had nothing yet, and the giant waits until it has as much.
    assert forecast([giant, newcomer], 4, 0).ends_in == pytest.approx(3 * 10_006 / 4, rel=0.01)


def test_a_small_run_ends_at_the_mean_of_what_chance_makes_of_its_last_task() -> None:
    """With a hair more or less of what it had, it is the other's turn first, or its own."""
    for had, ends in ((0.999, 3), (1.001, 4)):
        two = [Line("a", 1, 2, served=had, had=had), Line("b", 1, 50, served=1, had=1)]
        assert played(two, 1, 0).ends_in == ends
        assert forecast(two, 1, 0).ends_in == pytest.approx(3.5, abs=0.2)


def test_who_had_more_than_others_waits_until_they_have_as_much() -> None:
    ahead, behind = Line("a", 0.5, 50, served=0, had=20), Line("b", 0.5, 1000, served=0, had=0)
    ends = forecast([ahead, behind], 2, 0).ends_in
    assert ends == pytest.approx(20 / 2 + 25, rel=0.1)
    assert forecast([ahead._replace(had=0), behind], 2, 0).ends_in == pytest.approx(25, rel=0.1)


def test_the_run_of_a_client_that_is_served_already_waits_for_its_turn() -> None:
    giants = [Line("a", 1, 100, (1,), served=5, had=5), Line("b", 1, 100, (1,), served=9, had=9)]
    second = Line("b", 1, 5, begun=False, served=None, had=9)
    found = forecast([*giants, second], 2, 2)
    assert found.starts_in
    assert found.starts_in > 1  # the other client is owed four seconds


def test_a_limit_has_others_pass_by() -> None:
    limited = Line("a", 1, 10, at_once=1, pool="p")
    assert forecast([limited, Line("b", 1, 30)], 4, 0).ends_in == pytest.approx(10)
    assert forecast([limited, Line("b", 1, 30)], 4, 1).ends_in == pytest.approx(10)


def test_nobody_knows_of_what_never_gets_a_worker() -> None:
    assert forecast([Line("a", 1, 5, begun=False)], 0, 0) == (None, None, 0)
    assert forecasts([Line("a", 1, 5, begun=False)], 0) == [(None, None, 0)]


def test_many_small_tasks_of_others_flow_to_the_end() -> None:
    small = [Line(str(i), 0.001, 10**6) for i in range(20)]
    found = forecast([Line("a", 5, 8), *small], 2, 0)
    assert found.ends_in == pytest.approx(40 / (2 / 21), rel=0.3)


@given(lines, st.integers(1, 6), st.data())
def test_no_time_is_negative_and_every_run_ends(
    given: list[Line], workers: int, data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from(range(len(given))))
    for found in (forecast(given, workers, which), forecasts(given, workers)[which]):
        assert (found.starts_in or 0) >= 0
        assert (found.ends_in or 0) >= 0
        if given[which].work > 1e-6:
            assert found.ends_in is not None
            least = given[which].work / min(workers, max(1, given[which].most))
            if sum(len(line.at_work) for line in given) <= workers:
                assert found.ends_in >= least * 0.9 - 1e-6


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([1, 2, 4]))
def test_more_weight_never_ends_a_run_later(mine: int, others: int, workers: int) -> None:
    def ends(weight: float) -> float:
        two = [Line("a", 0.2, mine, weight=weight), Line("b", 0.2, others)]
        found = forecast(two, workers, 0).ends_in
        assert found is not None
        return found

    slack = 1  # whose task is the last is a matter of luck
    assert ends(4) <= ends(1) + slack
    assert ends(1) <= ends(0.25) + slack


def test_all_at_once_are_told_about_the_same_as_each() -> None:
    given = [
        Line("a", 0.5, 300, weight=4),
        Line("a", 1, 100),
        Line("b", 0.2, 800),
        Line("c", 2, 3, (1, 1)),
    ]
    for i, found in enumerate(forecasts(given, 4)):
        alone = forecast(given, 4, i)
        assert found.ends_in == pytest.approx(alone.ends_in, rel=0.15)
        assert found[::2] == alone[::2]


# --- against the claims' rule, task by task ---------------------------------------------------


def simulated(runs: list[Line], workers: int, chance: random.Random) -> list[list[Any]]:
    """Each task of these runs as start, end and run, as the claims go, with lengths by chance."""
    waiting = [int(run.waiting) for run in runs]
    served, had = [0.0] * len(runs), dict.fromkeys((run.client for run in runs), 0.0)
    heap: list[Any] = []
    tasks, now = [], 0.0
    while True:
        while len(heap) < workers and any(waiting):
            i = min(
                (i for i, count in enumerate(waiting) if count),
                key=lambda i: (had[runs[i].client], served[i]),
            )
            seconds = runs[i].mean * chance.uniform(0.7, 1.3)
            waiting[i] -= 1
            served[i] += seconds / runs[i].weight
            had[runs[i].client] += seconds / runs[i].weight
            heapq.heappush(heap, (now + seconds, i))
            tasks.append([now, now + seconds, i])
        if not heap:
            return tasks
        now, _ = heapq.heappop(heap)


def seen(runs: list[Line], tasks: list[list[Any]], at: float) -> list[Line]:
    """The runs as they are at some time."""
    found = []
    for i, run in enumerate(runs):
        mine = [(start, end) for start, end, which in tasks if which == i and start <= at]
        spent = sum(min(at, end) - start for start, end in mine) / run.weight
        left = [max(run.mean - (at - start), 0.1 * run.mean) for start, end in mine if end > at]
        waiting = run.waiting - len(mine)
        found.append(run._replace(waiting=waiting, at_work=tuple(left), served=spent))
    had = {run.client: 0.0 for run in runs}
    for run in found:
        had[run.client] += run.served or 0.0
    return [run._replace(had=had[run.client]) for run in found]


@pytest.mark.parametrize("seed", range(8))
def test_after_its_first_tenth_nearly_every_run_ends_within_a_quarter_of_what_was_told(
    seed: int,
) -> None:
    chance = random.Random(seed)  # noqa: S311
    runs = [
        Line(
            client=chance.choice("abcd"),
            mean=chance.choice([0.2, 0.5, 1.0]),
            waiting=chance.choice([20, 50, 200]),
            weight=chance.choice([1, 1, 1, 4, 0.25]),
        )
        for _ in range(chance.randint(2, 20))
    ]
    tasks = simulated(runs, 4, chance)
    right = 0
    for i in range(len(runs)):
        start = min(start for start, _, which in tasks if which == i)
        end = max(end for _, end, which in tasks if which == i)
        at = start + (end - start) / 10
        told = forecast(seen(runs, tasks, at), 4, i).ends_in
        assert told is not None
        right += abs(told - (end - at)) <= 0.25 * (end - at)
    print(f"{right} of {len(runs)}")
    assert right >= 0.85 * len(runs)
