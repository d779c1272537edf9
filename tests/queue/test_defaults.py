"""The queue's settings in a project that says nothing of them."""

from __future__ import annotations

import pytest
from django.conf import settings as project
from django_q.conf import Conf
from pytest_django import Settings

from compute.queue.defaults import DAY_S, DEFAULTS, RANGES
from compute.queue.defaults import settings as ours


def test_what_a_project_says_counts(settings: Settings) -> None:
    settings.Q_LEASE = 7
    assert ours.Q_LEASE == 7
    assert ours.SECRET_KEY_FALLBACKS == project.SECRET_KEY_FALLBACKS


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_project_may_say_nothing(settings: Settings, name: str) -> None:
    delattr(settings, name)
    value = getattr(ours, name)
    assert not callable(value)
    if name in RANGES:
        low, high, _ = RANGES[name]
        assert low <= value <= high


def test_a_node_under_development_stops_sooner(settings: Settings) -> None:
    del settings.Q_GRACE
    settings.DEBUG = False
    assert ours.Q_GRACE == 20
    settings.DEBUG = True
    assert ours.Q_GRACE == 2


@pytest.mark.parametrize(("limit", "seconds"), [(60, 60), (None, DAY_S)])
def test_a_task_takes_no_longer_than_django_q2_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: int | None, seconds: int
) -> None:
    del settings.Q_TIMEOUT
    monkeypatch.setattr(Conf, "TIMEOUT", limit)
    assert seconds == ours.Q_TIMEOUT


def test_what_there_is_no_such_setting_for_is_an_error() -> None:
    with pytest.raises(AttributeError):
        _ = ours.Q_NONSENSE
