from __future__ import annotations

import pytest
from django_q.models import OrmQ

from compute.queue.models import Job
from tests import recipes


@pytest.mark.thorough
@pytest.mark.django_db
def test_any_number_of_keys_is_one_parameter() -> None:
    kept = [recipes.job.make().pk for _ in range(2)]
    recipes.job.make()
    keys = [*kept, *map(str, range(100_000))]
    assert set(Job.objects.filter(pk__among=keys).values_list("pk", flat=True)) == set(kept)
    assert not Job.objects.filter(pk__among=[]).exists()


@pytest.mark.django_db
def test_numbers_are_compared_as_numbers() -> None:
    first, _ = (OrmQ.objects.create(key="sumsite", payload="") for _ in range(2))
    assert OrmQ.objects.get(pk__among=[first.pk, 0]) == first
    assert not OrmQ.objects.filter(pk__among=[]).exists()
