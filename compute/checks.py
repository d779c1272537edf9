"""System checks of the computations: each that is declared wrongly, and so was left out; and of
the settings that name one.

They are warnings, for the site works without it; bin/check fails at them. Their ids are those
of compute/declarations.py, compute.W001 to compute.W008 and compute.W010; compute.W009 is a
sample's (`manage.py try_samples`), compute.W011 that of HOME_PAGE.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from .computations import all_computations, problems, unlogged
from .declarations import Problem
from .queue.text import shorten


@register("computations")
def check_computations(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    with unlogged():  # they are told here
        wrong = [*problems(), *problems_of_settings()]
    return [Warning(each.sentence, hint=each.hint, id=each.id) for each in wrong]


def problems_of_settings() -> list[Problem]:
    """HOME_PAGE, if no computation has that name."""
    if not settings.HOME_PAGE or settings.HOME_PAGE in all_computations():
        return []
    why = f"HOME_PAGE is {shorten(settings.HOME_PAGE, 100)!r}, and no computation has that name."
    names = ", ".join(all_computations()) or "none"
    return [Problem("compute.W011", why, f"Leave it out, or give one of: {names}.")]
