"""The settings that the queue reads: each is the project's, or else has the value that stands here.

`settings` is asked as Django's own object is, at the moment when a value is needed.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings as project
from django_q.conf import Conf

#: A day: the seconds a task may take where nobody has set a limit.
DAY_S = 24 * 60 * 60

#: The values of settings that a project does not have; a function is called each time.
DEFAULTS: dict[str, Any] = {
    "Q_TIMEOUT": lambda: Conf.TIMEOUT or DAY_S,
    "Q_LEASE": 15,
    "Q_GRACE": lambda: 2 if project.DEBUG else 20,
    "Q_NICE": 5,
    "Q_MAX_STARTS": 100,
    "Q_PORTABLE": False,
    # No limit: a project keeps other things in its database, too.
    "MAX_KEPT_MB": 0,
    "MAX_RESULT_MB": 100,
}

#: From where to where each of them may be, and how one says so.
RANGES: dict[str, tuple[float, float, str]] = {
    "Q_LEASE": (2, float("inf"), "2 seconds or more: renewing takes its time, too"),
    "Q_GRACE": (0, float("inf"), "0 seconds or more"),
    "Q_NICE": (0, 19, "from 0 to 19, the lowest priority there is"),
    "Q_MAX_STARTS": (1, float("inf"), "1 or more, or no task could start"),
    "MAX_KEPT_MB": (0, float("inf"), "0, for no limit, or more"),
    "MAX_RESULT_MB": (1e-6, float("inf"), "more than 0"),
}


class Settings:
    """A project's settings, and the defaults of those that it lacks."""

    Q_CLUSTER: dict[str, Any]
    DATABASES: dict[str, dict[str, Any]]
    DEBUG: bool
    SECRET_KEY_FALLBACKS: list[str]
    USE_TZ: bool
    #: Seconds.
    Q_TIMEOUT: float
    Q_LEASE: float
    Q_GRACE: float
    #: How far workers stand back, from 0 to 19.
    Q_NICE: int
    Q_MAX_STARTS: int
    Q_PORTABLE: bool
    MAX_KEPT_MB: float
    MAX_RESULT_MB: float

    def __getattr__(self, name: str) -> Any:
        if name in DEFAULTS and not hasattr(project, name):
            value = DEFAULTS[name]
            return value() if callable(value) else value
        return getattr(project, name)


settings = Settings()
