import logging
from typing import Any

from django.apps import AppConfig

from . import imported  # noqa: F401 - it notes when the imports began


class QueueConfig(AppConfig):
    """django-q2 made dependable on nothing but a database."""

    name = "compute.queue"
    label = "queue"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the project has
    verbose_name = "Task queue: jobs and nodes"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created
        from django_q.signals import post_execute, pre_enqueue

        # The checks register themselves.
        from . import asking, checks, engines, signals  # noqa: F401

        pre_enqueue.connect(asking.prepare, dispatch_uid="compute.queue.asking.prepare")
        connection_created.connect(engines.prepare, dispatch_uid="compute.queue.engines.prepare")
        post_execute.connect(tell_of_run, dispatch_uid="compute.queue.apps.tell_of_run")
        signals.ended_elsewhere.connect(tell_of_end, dispatch_uid="compute.queue.apps.tell_of_end")


def tell_of_run(sender: Any, task: dict[str, Any], **kwargs: Any) -> None:
    """Tell those who listen to Django's framework that a task of it has run."""
    if "backend" in task:
        from .backend import results  # it needs the framework, which such tasks come from

        level = logging.INFO if task["success"] else logging.ERROR
        results.tell_ended([task["id"]], level)


def tell_of_end(sender: Any, task_ids: list[str], **kwargs: Any) -> None:
    """Have a task tell them of those that have ended without a worker: who listens is foreign code,
    and this may be a guard, or a request."""
    from django_q.tasks import async_task

    from .backend import framework, results

    if results.is_heard(framework.signals.task_finished, logging.ERROR):
        async_task(results.tell_ended, task_ids, task_name="task_finished", save=False)
