from typing import Any

from django.apps import AppConfig


class ComputeConfig(AppConfig):
    """Runs: what people ask for, cut into jobs, and what becomes of them."""

    name = "compute"
    verbose_name = "Computations"

    def ready(self) -> None:
        from .queue.signals import group_changed

        group_changed.connect(refresh_run, dispatch_uid="compute.apps.refresh_run")


def refresh_run(sender: Any, group: str, **kwargs: Any) -> None:
    """The queue says that a group has settled, or is at work again: note it on its run."""
    from .models import Run

    run = Run.objects.filter(task_id=group).select_related("sweep").first()
    if run:
        run.refresh()
        if run.sweep:
            run.sweep.advance()
