"""Workers stand back for the site and for their node's own guards, on a machine they share."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings


def stand_back(sender: Any, **kwargs: Any) -> None:
    """On `post_spawn`, which only workers send: lower this process's priority by `Q_NICE`.

    What a busy machine has left for the site is then decided by the kernel. Processes that
    a task starts inherit it.
    """
    os.nice(settings.Q_NICE)
