from django.apps import AppConfig


class QueueConfig(AppConfig):
    """django-q2 made dependable on nothing but a database."""

    name = "compute.queue"
    label = "queue"
    verbose_name = "Task queue: jobs and nodes"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created
        from django_q.signals import post_spawn, pre_enqueue, pre_execute

        # The checks register themselves.
        from . import call, checks, engines, priority  # noqa: F401

        pre_enqueue.connect(call.wrap, dispatch_uid="compute.queue.call.wrap")
        pre_execute.connect(call.hand_over, dispatch_uid="compute.queue.call.hand_over")
        post_spawn.connect(priority.stand_back, dispatch_uid="compute.queue.priority")
        connection_created.connect(engines.prepare, dispatch_uid="compute.queue.engines.prepare")
