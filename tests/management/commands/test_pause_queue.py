"""`manage.py pause_queue`: what is to begin with nothing."""

from __future__ import annotations

import pytest
from django.core.management import CommandError

from compute.queue import pauses
from tests.management.calling import call


def said(*arguments: str) -> str:
    return call("pause_queue", *arguments).out.getvalue().strip()


def test_the_queue_is_paused_and_goes_on(db: None) -> None:
    assert said() == "The queue is paused."
    assert said() == "The queue was already paused."
    assert [(pause.kind, pause.by) for pause in pauses.pauses()] == [("", "the operator")]
    assert said("--undo") == "The queue goes on."
    assert said("--undo") == "The queue was not paused."


def test_a_computation_is_paused_alone(db: None) -> None:
    assert said("--computation", "sum") == "sum is paused."
    assert [pause.kind for pause in pauses.pauses()] == ["sum"]
    assert said("--undo", "--computation", "sum") == "sum goes on."
    with pytest.raises(CommandError, match=r"no computation none; there are: .*sum"):
        said("--computation", "none")
    assert said("--undo", "--computation", "none") == "none was not paused."
