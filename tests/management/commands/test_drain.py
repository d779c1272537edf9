"""`manage.py drain`: queue servers that are to claim no more."""

from __future__ import annotations

import pytest
from django.core.management import CommandError
from django.utils import timezone

from compute.queue.models import Node
from tests import recipes
from tests.management.calling import call


def draining() -> set[str]:
    return set(Node.objects.filter(draining=True).values_list("name", flat=True))


def test_nodes_are_drained_by_name_or_id_until_they_are_to_work_again(db: None) -> None:
    fox, owl = recipes.node.make(name="fox", host="a"), recipes.node.make(name="owl", host="b")
    recipes.node.make(name="cat")
    out = call("drain", "fox", owl.pk).out.getvalue()
    assert set(out.splitlines()) == {
        "fox on a ends what it has, and claims no more.",
        "owl on b ends what it has, and claims no more.",
    }
    assert draining() == {"fox", "owl"}
    assert call("drain", fox.pk, "--undo").out.getvalue() == "fox on a works again.\n"
    assert draining() == {"owl"}


def test_without_all_of_them_nothing_is_done(db: None) -> None:
    with pytest.raises(CommandError, match="No queue server fox is alive; there are: none"):
        call("drain", "fox")
    recipes.node.make(name="owl")
    recipes.node.make(name="gone", stopped_at=timezone.now())
    with pytest.raises(CommandError, match=r"No queue server fox, gone is alive; there are: owl."):
        call("drain", "owl", "gone", "fox")
    assert draining() == set()
