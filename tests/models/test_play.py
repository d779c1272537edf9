"""Tasks played through one by one, as they will be claimed."""

from __future__ import annotations

import pytest

from compute.models.fluid import Line
from compute.models.play import MOST, Play


def played(*lines: Line, workers: int, which: int | None = None) -> Play:
    play = Play(lines, workers)
    play.play(which)
    return play


def test_a_play_can_be_left_and_taken_up() -> None:
    play = Play([Line("a", 1, 5, (0.5,)), Line("b", 1, 1)], 1)
    play.play(1)
    (mine, other) = play.left()
    assert (other.work, mine.at_work, play.now) == (0, (1,), play.ends[1])


def test_a_newcomer_is_next_and_then_takes_turns() -> None:
    two = [Line("a", 1, 10, begun=False, served=None, had=None), Line("b", 1, 90)]
    play = played(*two, workers=1, which=0)
    assert (play.starts, play.ends[0]) == ({0: 0, 1: 1}, 19)


def test_what_is_at_work_counts_as_it_goes() -> None:
    long, short = Line("a", 100, 1, (100,), had=0.5), Line("b", 1, 200)
    starts = played(long, short, workers=2, which=0).starts[0]
    assert starts > 100  # the other client has the other worker, and always had less


def test_lines_take_turns_by_what_they_had() -> None:
    two = [Line("a", 1, 4, served=0, had=0), Line("a", 1, 4, served=9, had=0)]
    play = played(*two, workers=1)
    assert play.starts == {0: 0, 1: 4}
    assert play.ends == {0: 4, 1: 8}


def test_a_newcomer_begins_where_the_least_served_is() -> None:
    others = [Line("a", 1, 9, served=7, had=7), Line("b", 1, 9, served=5, had=5)]
    play = Play([*others, Line("b", 1, 2, begun=False, served=None, had=5)], 1)
    assert play.turn(2) < play.turn(1)
    play.charge(2, 0.5)
    assert play.served == [7, 5, 5.5]
    assert play.had == {"a": 7, "b": 5.5}
    play = Play([others[0], Line("c", 1, 2, begun=False, served=None, had=None)], 1)
    assert play.turn_of_client("c") < play.turn_of_client("a")
    play.charge(1, 0.5)
    assert play.served == [7, 0.5]
    assert play.had == {"a": 7, "c": 7.5}


def test_a_pool_has_no_more_at_work_than_it_may() -> None:
    limited = [Line(name, 1, 4, at_once=1, pool="p") for name in "ab"]
    play = played(*limited, Line("c", 1, 2), workers=4)
    assert max(play.ends.values()) == 8
    assert play.ends[2] == 1


def test_it_ends_when_there_is_too_much_or_nobody_to_do_it() -> None:
    play = played(Line("a", 0.1, 10_000), workers=1)
    assert not play.ends
    assert play.now == pytest.approx(MOST * 0.1)
    assert played(Line("a", 1, 1), workers=0).left()[0].work == 1


def test_what_was_not_billed_yet_counts() -> None:
    two = [Line("a", 1, 9, served=1, unbilled=5), Line("a", 1, 9, served=2)]
    play = Play(two, 1)
    assert play.served == [6, 2]
    assert play.left()[0].unbilled == 0
    assert play.left()[0].served == 6


def test_workers_of_a_drained_node_claim_no_more() -> None:
    play = played(Line("a", 1, 4, (0.5, 0.5, 0.5)), workers=1)
    assert play.ends[0] == pytest.approx(4.5)


def test_tasks_of_hours_are_played_through_to_the_end() -> None:
    hour = 3600.0
    busy = Line("a", hour, 12, (hour, hour / 2))
    play = Play([busy, Line("b", hour, 12, begun=False, served=None, had=None)], 2)
    play.play()
    assert play.starts[1] == hour / 2
    assert max(play.ends.values()) == 13 * hour
    assert abs(play.ends[1] - play.ends[0]) <= hour, "they had the workers in turn"
