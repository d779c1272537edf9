"""An app that puts the computations of a hostile author beside the site's own."""

from pathlib import Path

from django.apps import AppConfig


class OddConfig(AppConfig):
    name = "tests.odd"

    def ready(self) -> None:
        from compute import computations

        computations.__path__.append(str(Path(__file__).parent / "computations"))
