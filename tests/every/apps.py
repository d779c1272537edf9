"""An app that puts the computation `every` beside the site's own."""

from pathlib import Path

from django.apps import AppConfig


class EveryConfig(AppConfig):
    name = "tests.every"
    label = "every"

    def ready(self) -> None:
        from compute import computations

        computations.__path__.append(str(Path(__file__).parent / "computations"))
