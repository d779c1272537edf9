from __future__ import annotations

import pytest
from django.core.checks import WARNING, run_checks

from compute import checks
from compute.declarations import Problem


def test_there_is_nothing_to_say_of_ours(db: None) -> None:
    assert not [each for each in run_checks() if "/primes.py" in each.msg or "/sums.py" in each.msg]


def test_what_is_left_out_is_a_warning_with_an_id(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "problems", lambda: [Problem("compute.W002", "Bad.", "Mend it.")])
    (warning,) = [each for each in run_checks() if each.msg == "Bad."]
    assert (warning.id, warning.hint, warning.level) == ("compute.W002", "Mend it.", WARNING)
