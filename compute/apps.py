from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class ComputeConfig(AppConfig):
    """Runs: what people ask for, cut into jobs, and what becomes of them."""

    name = "compute"
    verbose_name = "Computations"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - it registers itself
        from .queue.signals import groups_changed, looking_around, watching
        from .web import admin  # noqa: F401 - this, too
        from .web.owners import claim

        user_logged_in.connect(claim, dispatch_uid="compute.web.owners.claim")
        groups_changed.connect(refresh_runs, dispatch_uid="compute.apps.refresh_runs")
        looking_around.connect(look_around, dispatch_uid="compute.apps.look_around")
        watching.connect(watch_computations, dispatch_uid="compute.apps.watch_computations")


def refresh_runs(sender: Any, groups: set[str], at_work: bool = False, **kwargs: Any) -> None:
    """Note on the runs of these groups that they have settled, or are at work again.

    An error with one run does not keep the others from being noted.
    """
    from .models import Run, notes

    if at_work:
        notes.at_work(groups)
        return
    failed = None
    for run in Run.objects.of_groups(groups).select_related("sweep"):
        try:
            notes.refresh(run)
            if run.sweep and run.state != Run.State.IN_PROGRESS:
                run.sweep.queue_advance()
        except Exception as error:
            failed = error
    if failed:
        raise failed


def look_around(sender: Any, **kwargs: Any) -> None:
    """Do what a killed node left undone: note ends, start a sweep's next run, remove
    what was made of parts of a run, try samples."""
    from .models import Speed, Sweep, notes, partial

    notes.settle()
    Sweep.objects.settle()
    partial.tidy()
    Speed.objects.ask()


def watch_computations(sender: Any, reloader: Any, **kwargs: Any) -> None:
    """A node that watches its code sees a computation that is put there, mended or removed."""
    reloader.watch_dir(Path(__file__).parent / "computations", "**/*.py")
