"""`sync=True`: a task that runs in the request, and in the caller's transaction."""

from __future__ import annotations

from typing import Any

from .call import Call
from .coroutines import awaited
from .delivery import Delivery
from .engines import Lease
from .results import and_stored
from .transitions import start_in_request

#: There is no queue and no claim, and one attempt.
LEASE = Lease(queue_id=0, delivery=1, attempt=1)


class InRequest:
    """The function that django-q2 runs for such a task: the plain one, as its job's delivery."""

    def __init__(self, call: Call, task: dict[str, Any]) -> None:
        self.call = call
        self.task = task

    def __str__(self) -> str:
        return str(self.call)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, and raise what it raises, once that is written."""
        task = {**self.task, "args": args, "kwargs": kwargs, "func": self.call.func}
        delivery = Delivery(task, LEASE)
        start_in_request(task["id"])
        delivery.run(
            lambda: and_stored(awaited(self.call.bound(task, 1)(*args, **kwargs))),
        )
        if delivery.error is not None:
            raise delivery.error
        return task["result"]
