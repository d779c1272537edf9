"""For tests of Postgres' statements."""

from __future__ import annotations

import pytest

from compute.queue.engines.postgres import prepared


@pytest.fixture(autouse=True)
def planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement is planned anew while a test runs: those seconds might be over in the midst."""
    monkeypatch.setattr(prepared, "PLANNED_S", 10**9)
