"""System checks of the computations: what is declared wrongly, and so was left out.

Warnings, for the site works without; bin/check fails at them. Their ids are those of
compute/declarations.py, compute.W001 to compute.W008; compute.W009 is a sample's
(`manage.py try_samples`).
"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning, register

from .computations import problems


@register("computations")
def check_computations(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [Warning(each.sentence, hint=each.hint, id=each.id) for each in problems()]
