"""What a worker really calls, so that a task's Job always tells what became of it.

django-q2 sends `pre_enqueue` before it signs a task: there the task's function is
replaced by a `Call`, which travels with it. In the worker the `Call` runs inside
django-q2's own try block and timeout: it takes the job, runs the plain function and
writes the outcome, where django-q2's signals would come too early (`pre_execute`) or
while a lock is held that its sentinel needs (`post_execute_in_worker`).
"""

from __future__ import annotations

import logging
import math
import pickle
import pydoc
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.signals import post_save
from django.utils import timezone
from django_q.conf import Conf
from django_q.exceptions import TimeoutException
from django_q.humanhash import humanize
from django_q.models import OrmQ, Task
from django_q.signals import call_hook
from django_q.tasks import async_chain
from picklefield.fields import PickledObject, dbsafe_decode, dbsafe_encode

from . import leftovers, packages
from .engines import Lease
from .logs import about
from .models import Job, JobState
from .records import columns_of
from .text import message_of, one_line, shorten, shown, storable
from .transitions import settle, start_in_request

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between the tries to write to a database that is away: a minute in all.
PAUSES = (0.1, 0.2, 0.5, 1, 2, 4, 8, 15, 30)

#: A task's `timeout` that stands for no time limit.
NO_LIMIT = -1

#: What a task run inside the request (`sync=True`) has: no queue, no claim, one attempt.
IN_REQUEST = Lease(queue_id=0, delivery=1, attempt=1)


class UnknownHereError(ValueError):
    """A function that the code which queued it had, and this node's code has not."""


class Call:
    """The function of a task, as it travels: its dotted path, or any callable object."""

    #: Whether whoever queued it had the function itself; of a mere path nobody knows.
    was_there = False

    def __init__(self, func: str | Callable[..., Any]) -> None:
        # As a path where there is one, so that the worker can say when it is gone.
        path = None if isinstance(func, str) else path_of(func)
        self.func = path or func
        self.was_there = path is not None
        self.task: dict[str, Any] = {}
        self.claim_ahead: Callable[[], None] | None = None

    def __str__(self) -> str:
        return str(self.func)

    @property
    def name(self) -> str:
        """What people call it."""
        if isinstance(self.func, str):
            return self.func.rpartition(".")[2]
        return getattr(self.func, "__name__", type(self.func).__name__)

    @property
    def label(self) -> str:
        """What it counts as: of objects without a path all of a class are one function."""
        kind = type(self.func)
        path = self.func if isinstance(self.func, str) else f"{kind.__module__}.{kind.__qualname__}"
        return shorten(path, 200)

    def __getstate__(self) -> dict[str, Any]:
        return {"func": self.func, "was_there": self.was_there, "task": {}}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function as one delivery of its job, and write the outcome.

        A delivery that has lost its job (to another node, a cancellation) runs
        nothing, or its outcome is dropped. A function that only another version of the
        code has is left to nodes of that version. Raises what the function raises.
        """
        with about(self.task):
            return self.deliver(args, kwargs)

    def deliver(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        delivery = Delivery(self.task, self.claim_ahead)
        if not persistently(delivery.start):
            self.task["dropped"] = True
            return None
        try:
            result = self.run(args, kwargs)
            stored = pickled(result)
        except BaseException as error:
            if isinstance(error, UnknownHereError) and persistently(delivery.postpone):
                self.task["dropped"] = True
                return None
            self.task["dropped"] = not persistently(partial(delivery.fail, error))
            self.task["error_class"], self.task["error"] = type(error).__name__, one_line(error)
            expected = isinstance(error, Exception | TimeoutException)
            if self.task.get("sync") or (expected and message_of(error) is not None):
                raise
            # What django-q2's worker can't print, or does not expect, would end it unheard.
            raise RuntimeError(one_line(error)) from error
        try:
            self.task["dropped"] = not persistently(partial(delivery.finish, result, stored))
        except (OperationalError, InterfaceError):
            raise  # the next delivery will write its own
        except Exception as error:  # the database takes everything but this outcome
            persistently(partial(delivery.fail, error))
            self.task["error_class"], self.task["error"] = type(error).__name__, one_line(error)
            raise
        return result

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function within its time, and see that it leaves nothing open."""
        function = self.resolve()
        with leftovers.removed(self.task["name"]) if self.in_worker else nullcontext():
            try:
                limit = self.task.get("limit", NO_LIMIT)
                if self.in_worker and limit != math.ceil(limit):
                    signal.setitimer(signal.ITIMER_REAL, limit)
                return function(*args, **kwargs)
            finally:
                signal.alarm(0)  # the time limit is the function's, not the bookkeeping's

    @property
    def in_worker(self) -> bool:
        return not self.task.get("sync")

    def resolve(self) -> Callable[..., Any]:
        if not isinstance(self.func, str):
            return self.func
        found = pydoc.locate(self.func)
        if not callable(found):
            message = f"Function {self.func} is not defined"
            if self.was_there:
                raise UnknownHereError(f"{message}: this node's code is not what queued it")
            raise ValueError(message)
        return found


class Delivery:
    """One handing-over of a job to a worker: start, then finish or fail, each at most once."""

    def __init__(self, task: dict[str, Any], claim_ahead: Callable[[], None] | None = None) -> None:
        self.task = task
        self.claim_ahead = claim_ahead
        self.lease: Lease = task.get("ack_id") or IN_REQUEST

    def start(self) -> bool:
        """Whether there is a job to run; its claim has set it running, for this delivery."""
        self.task["started"] = timezone.now()
        if self.lease == IN_REQUEST:
            start_in_request(self.task["id"])
        elif not self.lease.delivery:  # its job is gone, or has settled
            OrmQ.objects.filter(pk=self.lease.queue_id).delete()
        return self.lease.delivery > 0

    def postpone(self) -> bool:
        return Job.objects.filter(pk=self.task["id"], delivery=self.lease.delivery).postpone()

    def finish(self, result: Any, stored: PickledObject | None) -> bool:
        return self.settle(JobState.DONE, result, stored, {"result": stored, "payload": ""})

    def fail(self, error: BaseException) -> bool:
        report = storable(f"{message_of(error)} : {''.join(traceback.format_exception(error))}")
        outcome = {"error": one_line(error), "error_class": type(error).__name__[:200]}
        package = OrmQ.objects.filter(pk=self.lease.queue_id).first()
        if package is not None:  # without one (`sync=True`) the job has its payload already
            outcome["payload"] = package.payload
        return self.settle(JobState.FAILED, report, report, outcome)

    def settle(
        self, state: JobState, result: Any, stored: str | None, outcome: dict[str, Any]
    ) -> bool:
        """Write the outcome everywhere or nowhere; False when it counts no more."""
        success = state == JobState.DONE
        hook = self.task.get("hook")
        saved = not success or self.task.get("save", True)
        record = self.record(success, stored) if saved or hook else None
        chain = self.task.get("chain") if success and not self.task.get("sync") else None
        # Who has more to do for this task, or may be ended by it, does not take another yet.
        then = self.claim_ahead if success and not (chain or hook) else None
        # On its own it is one write; a caller's transaction (`sync=True`) needs a savepoint.
        whole = transaction.atomic() if chain or connection.in_atomic_block else nullcontext()
        with whole:
            values = columns_of(record) if record and saved else None
            if not settle(self.task["id"], self.lease, state, outcome, values, then):
                log.warning("%s: its lease was lost, the outcome is dropped", self.task["name"])
                return False
            if chain:  # a failed step holds its chain; django-q2 itself would go on
                async_chain(list(chain), group=self.task.get("group"), sync=False)
        if record is not None:
            record.result = result
            transaction.on_commit(partial(self.tell, record, saved))
        return True

    @staticmethod
    def tell(record: Task, saved: bool) -> None:
        """Call the task's hook, as django-q2 does when it has saved a record."""
        if saved:
            post_save.send_robust(Task, instance=record, created=True, raw=False)
        else:
            call_hook(Task, record)

    def record(self, success: bool, stored: str | None) -> Task:
        """django-q2's own record, for its admin pages and `django_q.tasks.result`."""
        return Task(
            id=self.task["id"],
            name=self.task["name"],
            func=shorten(str(self.task["func"]), 256),
            hook=self.task.get("hook"),
            args=self.task["args"],
            kwargs=self.task["kwargs"],
            group=self.task.get("group"),
            cluster=self.task.get("cluster"),
            started=self.task["started"],
            stopped=timezone.now(),
            result=stored,
            success=success,
            attempt_count=self.lease.attempt,
        )


def wrap(sender: Any, task: dict[str, Any], **kwargs: Any) -> None:
    """On `pre_enqueue`: put a Call in place of the function, and a readable name."""
    if "iter_count" in task:
        raise TypeError(
            "django_q.tasks.async_iter collects its results in a cache, which loses them. "
            "Call compute.queue.fanout.async_iter instead: same arguments, results in rows."
        )
    check_options(task)
    if task.get("cached"):
        task["cached"] = False  # results are rows, there is no cache
    func = task["func"]
    call = task["func"] = func if isinstance(func, Call) else Call(func)
    if task["name"].count("-") == 3 and task["name"] == humanize(task["id"]):  # nobody's choice
        task["name"] = default_name(call, task["args"], task["kwargs"])
    task["name"] = shorten(task["name"], 100)
    task.setdefault("position", 0)  # in its group; a lone task is a group of one
    if task.get("sync"):
        queued = {key: value for key, value in task.items() if key != "sync"}
        payload = packages.write(queued)
        packages.read_back(payload)
        job_for(task, queue=Conf.CLUSTER_NAME, payload=payload).save()


def check_options(task: dict[str, Any]) -> None:
    """Refuse, at the call, what would only fail in a worker or in the database."""
    for option, length in (("group", 100), ("hook", 256), ("cluster", 100)):
        text = str(task.get(option) or "")
        if len(text) > length:
            raise ValueError(f"{option} has over {length} characters, more than a task keeps")
        if storable(text) != text:
            raise ValueError(f"{option} has a character that no database stores: {text!r}")
    if not isinstance(task["name"], str):
        raise TypeError(f"task_name is no text: {shown(task['name'])}")
    if "timeout" in task:
        seconds = task["timeout"]
        if (
            not isinstance(seconds, int | float)
            or isinstance(seconds, bool)
            or not (seconds == NO_LIMIT or 0 < seconds < 2**31)
        ):
            raise ValueError(
                f"timeout is {shown(seconds)}; give seconds, more than 0 and below 2^31, "
                f"or {NO_LIMIT} for none"
            )
        # django-q2's worker takes whole seconds; the Call sets the exact limit.
        task["limit"], task["timeout"] = seconds, math.ceil(seconds)


def default_name(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A task's name if nobody gives it one: its call, as one would write it."""
    return f"{call.name}({', '.join(shown_arguments(args, kwargs))})"


def shown_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    return [*map(shown, args), *(f"{key}={shown(value)}" for key, value in kwargs.items())]


def hand_over(sender: Any, func: Any, task: dict[str, Any], **kwargs: Any) -> None:
    """On `pre_execute`, in the worker: tell the Call which task it is about to run for."""
    claim_ahead = task.pop("claim_ahead", None)
    if isinstance(func, Call):
        func.task, func.claim_ahead = task, claim_ahead


def job_for(task: dict[str, Any], **fields: Any) -> Job:
    """The unsaved Job of a task: a group of its own unless `fields` say otherwise."""
    fields.setdefault("group", task["id"])
    return Job(task_id=task["id"], name=task["name"], queued_at=task["started"], **fields)


def persistently(ask: Callable[[], T]) -> T:
    """Read or write in the database, again after growing pauses while it is away.

    For about a minute; then its error is raised, and the lease runs out. Inside a
    caller's transaction (`sync=True`) there is one try, for that transaction is lost.
    """
    for pause in () if connection.in_atomic_block else PAUSES:
        try:
            return ask()
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away, next try in %s s: %s", pause, one_line(error))
            connection.close()
            time.sleep(pause)
    return ask()


def pickled(result: Any) -> PickledObject | None:
    """A result as its rows keep it, tested that it can be read again.

    Already pickled, a result that happens to be a query is stored and not run.
    """
    if result is None:
        return None
    try:
        stored = dbsafe_encode(result, pickle_protocol=pickle.HIGHEST_PROTOCOL, copy=False)
        dbsafe_decode(stored)
    except Exception as error:
        raise TypeError(f"the result can't be pickled: {one_line(error)}") from error
    return stored


def path_of(func: Callable[..., Any]) -> str | None:
    """The dotted path under which a worker will find the same callable, if there is one."""
    module, name = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    path = f"{module}.{name}"
    return path if module and name and pydoc.locate(path) is func else None
