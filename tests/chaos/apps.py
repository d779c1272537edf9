"""An app that puts a computation that is slow to combine beside the site's own."""

from pathlib import Path

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from compute import computations

        computations.__path__.append(str(Path(__file__).parent / "computations"))
