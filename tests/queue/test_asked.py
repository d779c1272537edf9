from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from compute.queue.asked import Asked

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TASK = Asked("app.f", "default", 0, "default", None, False, None, None)


class Task:
    """As a task of the framework is."""

    module_path, backend, priority, queue_name = "app.f", "default", 0, "slow"
    run_after: datetime | None = NOON
    takes_context = True


def test_all_of_a_task_is_taken_down() -> None:
    asked = Asked.of(Task())
    assert asked == Asked("app.f", "default", 0, "slow", NOON.isoformat(), True, None, None)
    assert asked.due_at == NOON
    assert asked.queue == "slow"
    assert (TASK.due_at, TASK.queue) == (None, "sumsite")


def test_what_another_version_has_kept_is_read() -> None:
    values: dict[str, Any] = {**TASK._asdict(), "colour": "red"}
    del values["at_once"]
    assert Asked.kept(values) == TASK


@pytest.mark.parametrize(
    ("priority", "at_once", "share"),
    [
        (0, None, ("app.f", "app.f", 1, None, "")),
        (1, None, ("app.f (urgent)", "app.f (urgent)", 4, None, "")),
        (-100, None, ("app.f (background)", "app.f (background)", 0.25, None, "")),
        (0, 3, ("app.f, 3 at once", "app.f", 1, 3, "app.f")),
        (7, 1, ("app.f (urgent), 1 at once", "app.f (urgent)", 4, 1, "app.f")),
    ],
)
def test_its_flow(priority: int, at_once: int | None, share: tuple[Any, ...]) -> None:
    asked = TASK._replace(priority=priority, at_once=at_once)
    assert asked.share()[:5] == share


def test_the_names_of_its_flow_fit() -> None:
    asked = TASK._replace(path="a." + 300 * "b", priority=1, at_once=10**9)
    key, client, _, _, pool, _ = asked.share()
    assert max(map(len, (key, client, pool))) <= 200
    assert client != asked._replace(priority=-1).share().client
