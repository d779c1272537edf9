"""What this process has imported, and what was written to since: development's reloaders
take their first look after the imports, and would miss it until the next change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

#: When this process began to import the project's code, in seconds since the epoch.
BEGAN = time.time()

#: The clock of file systems goes in steps (of some milliseconds on Linux).
STEP_S = 0.05


def overtaken(times: Mapping[Path, float], since: float) -> set[Path]:
    """The files that were written to after `since`, so perhaps after they were imported.

    `times` are those of their last change. A time in the future tells nothing: it would do so
    again at the next start.
    """
    return {path for path, at in times.items() if since - STEP_S < at <= time.time()}
