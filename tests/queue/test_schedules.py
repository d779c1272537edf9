from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.models import Schedule
from pytest_django import Settings

from compute.queue.schedules import arguments, next_run
from tests.queue.conftest import LocalNode

ECHO = "tests.queue.functions.echo"


# --- its arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (None, None, ((), {})),
        ("1", "", ((1,), {})),
        ("1, 'a'", "{'b': 2}", ((1, "a"), {"b": 2, "q_options": {}})),
        ("[1, 2]", "b=2, c='x'", (([1, 2],), {"b": 2, "c": "x", "q_options": {}})),
        ("'report@example.com'", None, (("report@example.com",), {})),
    ],
)
def test_arguments_are_values_of_pythons(
    args: str | None, kwargs: str | None, expected: tuple[Any, ...]
) -> None:
    assert arguments(args, kwargs) == expected


@pytest.mark.parametrize("args", ["report@example.com", "(1, 2", "(" * 5000, "f()"])
def test_what_is_no_value_of_pythons_is_named(args: str) -> None:
    with pytest.raises(ValueError, match=r"^args can't be read: .* is no value of Python's"):
        arguments(args, None)


@pytest.mark.parametrize(
    "kwargs",
    ["{1: 2}", "a=b", "1, 2", "1", "'text'", "report@example.com", "**{'a': 1}", ") + f(", "a=1)("],
)
def test_what_names_no_arguments_is_named(kwargs: str) -> None:
    with pytest.raises(ValueError, match=r"^kwargs can't be read: .* is neither a dict nor like"):
        arguments(None, kwargs)


@pytest.mark.parametrize("options", ["1", "None", "[('a', 1)]"])
def test_options_are_a_dict(options: str) -> None:
    with pytest.raises(ValueError, match=r"^kwargs can't be read: q_options is .* and no dict"):
        arguments(None, f"q_options={options}")


def test_options_are_nobody_elses() -> None:
    _, kwargs = arguments(None, "q_options={'timeout': 5}, a=1")
    assert kwargs == {"a": 1, "q_options": {"timeout": 5}}


# --- when it is due again ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind, _ in Schedule.TYPE if kind not in "OC"])
def test_each_kind_goes_on_as_django_q2_reckons_from_long_ago(
    node: LocalNode, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its own loop comes to, step by step."""
    moment = datetime(2024, 1, 31, 2, 30, tzinfo=UTC)
    made = Schedule(schedule_type=kind, minutes=777, next_run=moment)
    now = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
    expected = moment
    while expected <= now:
        expected = made.calculate_next_run(expected)
    assert next_run(made, now) == expected


@pytest.mark.parametrize("kind", [Schedule.DAILY, Schedule.WEEKLY, Schedule.BIWEEKLY])
def test_it_keeps_the_time_of_day_where_clocks_change(
    kind: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "TIME_ZONE", "Europe/Berlin")
    made = Schedule(schedule_type=kind, next_run=datetime(2025, 12, 1, 7, 0, tzinfo=UTC))
    summer = next_run(made, datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    assert (summer.hour, summer.minute) == (6, 0), "eight o'clock, as in winter"


@pytest.mark.parametrize("kind", [Schedule.HOURLY, Schedule.DAILY, Schedule.MONTHLY])
def test_what_is_missed_is_a_step_each_where_it_is_caught_up(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "CATCH_UP", True)
    made = Schedule(schedule_type=kind, next_run=datetime(2024, 1, 31, 2, 30, tzinfo=UTC))
    expected = made.calculate_next_run(made.next_run)
    assert next_run(made, datetime(2026, 3, 29, 12, 0, tzinfo=UTC)) == expected
