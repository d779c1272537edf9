"""How fast a computation is: by its last runs, or by a sample."""

from __future__ import annotations

from typing import Any

import pytest

from compute.computations import all_computations
from compute.computations.sums import SUM
from compute.models import Speed
from compute.models.speed import measure, speed_of
from compute.queue.call import UnknownHereError
from compute.queue.models import Job
from tests.conftest import measure_samples, run_queued


def test_samples_are_measured_once_by_a_worker(db: None) -> None:
    Speed.objects.ask()
    Speed.objects.ask()
    asked = list(Job.objects.values_list("name", flat=True))
    assert {"how fast is primes?", "how fast is sum?"} <= set(asked)
    assert len(asked) == len(set(asked))
    assert speed_of(SUM) is None
    run_queued()
    speed = Speed.objects.get(computation="sum")
    assert speed.per_second is not None
    assert str(speed) == f"sum: {speed.per_second}"
    assert speed_of(SUM) == speed.per_second
    Speed.objects.ask()
    assert not Job.objects.unsettled().exists()


def test_another_sample_is_measured_anew(db: None, declare: Any) -> None:
    measure_samples()
    declare(name="sum", sample=((1, 10), 10))
    changed = all_computations()["sum"]
    assert speed_of(changed) is None
    measure_samples()
    assert speed_of(changed) is not None
    assert Speed.objects.filter(computation="sum").count() == 1


def test_a_node_of_other_code_leaves_the_sample_to_others(db: None, declare: Any) -> None:
    with pytest.raises(UnknownHereError, match="'newer' is not declared"):
        measure("newer")
