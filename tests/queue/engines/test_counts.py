"""The running counts, on whichever database the tests have."""

from __future__ import annotations

import pytest

from compute.queue.engines import engine

pytestmark = pytest.mark.django_db


def test_counts_add_up() -> None:
    for _ in range(2):
        engine().add_counts([("f", "done", 1), ("f", "seconds", 0.5), ("g", "done", 2)])
    assert engine().counts() == [("f", "done", 2), ("f", "seconds", 1), ("g", "done", 4)]
