from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import WARNING, run_checks

from compute import checks
from compute.computations import log
from compute.declarations import Problem


def test_there_is_nothing_to_say_of_ours(db: None) -> None:
    assert not [each for each in run_checks() if "/primes.py" in each.msg or "/sums.py" in each.msg]


def test_what_is_left_out_is_a_warning_with_an_id(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "problems", lambda: [Problem("compute.W002", "Bad.", "Mend it.")])
    (warning,) = [each for each in run_checks() if each.msg == "Bad."]
    assert (warning.id, warning.hint, warning.level) == ("compute.W002", "Mend it.", WARNING)


def test_what_is_left_out_is_told_by_the_check_and_not_by_the_log_too(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def problems() -> list[Problem]:
        log.error("left out: Bad.")
        return [Problem("compute.W002", "Bad.", "Mend it.")]

    monkeypatch.setattr(checks, "problems", problems)
    assert [each.msg for each in run_checks()].count("Bad.") == 1
    assert not caplog.records


@pytest.mark.parametrize("name", ["", "sum", "primes"])
def test_a_home_page_that_there_is_needs_no_warning(settings: Any, name: str) -> None:
    settings.HOME_PAGE = name
    assert checks.problems_of_settings() == []


def test_a_home_page_that_no_computation_has_is_a_warning(db: None, settings: Any) -> None:
    settings.HOME_PAGE = "tset\n" + "x" * 1000
    (warning,) = [each for each in run_checks() if each.id == "compute.W011"]
    assert warning.msg.startswith(r"HOME_PAGE is 'tset\nxxx")
    assert warning.msg.endswith("…', and no computation has that name.")
    assert str(warning.hint).startswith("Leave it out, or give one of: buggy-sum, ")
    assert len(warning.msg) < 200


def test_where_there_is_no_computation_at_all_none_is_named(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME_PAGE = "x"
    monkeypatch.setattr(checks, "all_computations", dict)
    (problem,) = checks.problems_of_settings()
    assert problem.hint == "Leave it out, or give one of: none."
