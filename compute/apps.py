from typing import Any

from django.apps import AppConfig

from .queue.among import among


class ComputeConfig(AppConfig):
    """Runs: what people ask for, cut into jobs, and what becomes of them."""

    name = "compute"
    verbose_name = "Computations"

    def ready(self) -> None:
        from .queue.signals import groups_changed

        groups_changed.connect(refresh_runs, dispatch_uid="compute.apps.refresh_runs")


def refresh_runs(sender: Any, groups: set[str], at_work: bool = False, **kwargs: Any) -> None:
    """The queue says that groups have settled, or are at work again: note it on their runs.

    An error with one does not keep the others from being noted.
    """
    from .models import Run

    if at_work:
        Run.objects.at_work(groups)
        return
    failed = None
    runs = Run.objects.select_related("sweep").filter(task_id__in=among(groups))
    for run in runs:
        try:
            run.refresh()
            if run.sweep:
                run.sweep.advance()
        except Exception as error:
            failed = error
    if failed:
        raise failed
