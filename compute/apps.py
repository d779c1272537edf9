from typing import Any

from django.apps import AppConfig


class ComputeConfig(AppConfig):
    """Runs: what people ask for, cut into jobs, and what becomes of them."""

    name = "compute"
    verbose_name = "Computations"

    def ready(self) -> None:
        from .queue.signals import groups_changed

        groups_changed.connect(refresh_runs, dispatch_uid="compute.apps.refresh_runs")


def refresh_runs(sender: Any, groups: set[str], **kwargs: Any) -> None:
    """The queue says that groups have settled, or are at work again: note it on their runs.

    An error with one does not keep the others from being noted.
    """
    from .models import Run

    failed = None
    runs = Run.objects.select_related("sweep").in_bulk(groups, field_name="task_id")
    for run in runs.values():
        try:
            run.refresh()
            if run.sweep:
                run.sweep.advance()
        except Exception as error:
            failed = error
    if failed:
        raise failed
