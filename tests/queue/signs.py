"""The site's settings, with a queue beside the default one, and an app that writes down which
signals of Django's own tasks it hears, in the file that SIGNS names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from tests.plain_static import *  # noqa: F403
from tests.plain_static import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, f"{__name__}.SignsConfig"]
Q_CLUSTER = {**Q_CLUSTER, "ALT_CLUSTERS": {"slow": {"workers": 1}}}


class SignsConfig(AppConfig):
    name = "tests.queue"
    label = "signs"

    def ready(self) -> None:
        from compute.queue.backend.framework import signals

        signals.task_started.connect(started)
        signals.task_finished.connect(finished)


def started(task_result: Any, **kwargs: Any) -> None:
    note("started", task_result)


def finished(task_result: Any, **kwargs: Any) -> None:
    note("finished", task_result)


def note(what: str, result: Any) -> None:
    with Path(os.environ["SIGNS"]).open("a") as file:
        file.write(f"{what} {result.id} {result.status}\n")
