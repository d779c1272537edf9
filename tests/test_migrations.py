"""Migrations that move what people have."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


@pytest.mark.thorough
def test_runs_of_sums_become_runs_of_a_computation(transactional_db: None) -> None:
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate([("compute", "0001_initial")])
        old = executor.loader.project_state([("compute", "0001_initial")]).apps
        for number, kind in enumerate(["sum", "buggy-sum", "split-sum"]):
            fields = {"task_id": str(number), "kind": kind, "n": 10**12, "state": "done"}
            old.get_model("compute", "Run").objects.create(**fields, result=10**24)
    finally:
        MigrationExecutor(connection).migrate(latest)
    from compute.models import Run

    runs = Run.objects.order_by("pk")
    assert [run.computation for run in runs] == ["sum", "buggy-sum", "sum"]
    for run in runs:
        assert (run.parameters, run.title) == ({"n": 10**12}, "sum 1–1,000,000,000,000")
        assert (run.state, run.result) == ("done", 10**24)
