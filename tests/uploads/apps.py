"""An app that puts a computation that is given a file beside the site's own."""

from pathlib import Path

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    name = "tests.uploads"
    label = "uploads"

    def ready(self) -> None:
        from compute import computations

        computations.__path__.append(str(Path(__file__).parent / "computations"))
