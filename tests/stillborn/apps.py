"""An app that ends each worker as soon as it has started."""

import os
from typing import Any

from django.apps import AppConfig


class StillbornConfig(AppConfig):
    name = "tests.stillborn"
    label = "stillborn"

    def ready(self) -> None:
        from django_q.signals import post_spawn

        post_spawn.connect(end)


def end(**kwargs: Any) -> None:
    os._exit(7)
