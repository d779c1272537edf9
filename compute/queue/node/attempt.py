"""One start of a task: from its package to its outcome, and to those who are told of it."""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import monotonic  # as the guard has it, also if a task puts another in its place
from typing import Any

from django_q.conf import Conf, error_reporter
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ
from django_q.signals import post_execute_in_worker, pre_execute

from .. import kernel, leftovers, tally
from ..asking import NO_LIMIT
from ..call import Call
from ..coroutines import awaited
from ..defaults import settings
from ..delivery import Delivery, Kept
from ..engines import Lease
from ..logs import ids
from ..models import Job
from ..results import Returned, and_stored
from .board import Slot
from .channels import MOST_BYTES
from .footing import Footing
from .processes import LOST_DATABASE, end_strangers

log = logging.getLogger(__name__)


#: Seconds that a task has after its time limit, which it may not have heard of, to end by itself.
LIMIT_MARGIN_S = 3


#: Signals with which a task, or what it has imported, may do as it likes meanwhile. To ignore
#: SIGCHLD would have `subprocess` take all that fails for a success, and `os.wait` wait for ever.
KEPT = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class Attempt:
    """An error before, in or after the function ends the job, or gives it back: none is lost."""

    def __init__(
        self,
        lease: Lease,
        task: dict[str, Any],
        slot: Slot,
        claim_ahead: Callable[[], None] | None = None,
        known: Collection[int] | None = None,
        keep: Callable[[Kept], bool] | None = None,
        footing: Footing | None = None,
    ) -> None:
        self.lease = lease
        self.task = task
        self.slot = slot
        #: Processes below this one that are none of the task's; None leaves all alone.
        self.known = known
        #: The state in which the worker's next task is to find the process; None looks at nothing.
        self.footing = footing
        self.pid = os.getpid()
        #: Its worker's ways with signals; a task's own end with it.
        self.handlers = {number: signal.getsignal(number) for number in KEPT}
        #: Whether the worker is to be replaced, for nobody knows what it is left with.
        self.spent = False
        self.call: Call = task["func"] if isinstance(task["func"], Call) else Call(task["func"])
        task["func"] = self.call.func
        limit_s = task.pop("timeout", None)
        self.limit_s: float = task.pop("limit", limit_s) or Conf.TIMEOUT or NO_LIMIT
        if post_execute_in_worker.has_listeners("django_q"):
            keep = None  # they hear of each at once
        self.delivery = Delivery(task, lease, claim_ahead, self.told, keep)

    def run(self) -> bool:
        """Whether there is an outcome that others are to be told of."""
        if not self.lease.delivery:  # its job is gone, or has settled
            OrmQ.objects.filter(pk=self.lease.queue_id).delete()
        elif self.lease.starts > settings.Q_MAX_STARTS:
            self.refuse()
        else:
            if self.lease.attempt > 1:
                self.note_again()
            log.info("started: %s", self.task["name"])
            self.delivery.run(self.function)
            if self.delivery.counts:
                self.send()
                self.forget_what_is_long()
        return self.delivery.counts

    def function(self) -> Returned:
        """The plain function, within its time, which is that of its result's pickle, too: a
        query is asked then. What they leave open or running is ended."""
        function = self.call.bound(self.task, self.lease.attempt)
        name, args, kwargs = (self.task[key] for key in ("name", "args", "kwargs"))
        if self.footing:
            self.footing.begin()
        try:
            with leftovers.removed(name), self.limit():
                pre_execute.send(sender="django_q", func=function, task=self.task)
                return and_stored(awaited(function(*args, **kwargs)))
        except TimeoutException:
            self.spent = True  # it was interrupted, who knows where
            raise
        except Exception:
            if error_reporter:
                error_reporter.report()
            raise
        finally:
            self.clean()

    def clean(self) -> None:
        if os.getpid() != self.pid:  # a fork of the task's own, which came back like its parent
            os._exit(0)
        self.slot.deadline = 0
        for number, handler in self.handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        self.end_left_over()
        self.look_at_footing()

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Raise TimeoutException within when the task's time is over. The guard kills what does
        not end of it."""
        if self.limit_s != NO_LIMIT:
            self.slot.limit_s = self.limit_s
            self.slot.deadline = monotonic() + self.limit_s + LIMIT_MARGIN_S
            signal.signal(signal.SIGALRM, self.out_of_time)
            signal.setitimer(signal.ITIMER_REAL, self.limit_s)
        try:
            yield
        finally:  # without a limit, too: an alarm of the task's own would strike in the next one
            signal.setitimer(signal.ITIMER_REAL, 0)

    def out_of_time(self, *_: Any) -> None:
        raise TimeoutException(f"Task exceeded maximum timeout value ({self.limit_s:g} seconds)")

    def end_left_over(self) -> None:
        """End the processes that the task has started and left. The worker is replaced then, so
        that no other task meets them, or what still refers to them."""
        if self.known is None or not kernel.has_children():
            return
        if count := end_strangers(self.known):
            log.warning("%s left %s process(es), which were ended", self.task["name"], count)
            self.leave_to_another()

    def look_at_footing(self) -> None:
        """Replace a worker whose process a task has spoilt for the next, once the outcome is
        written; at once if it can't be, without the database."""
        if not (self.footing and (spoilt := self.footing.spoilt())):
            return
        self.footing.mend()
        log.warning("%s %s; its worker is replaced", self.task["name"], spoilt.what)
        if spoilt.database:
            os._exit(LOST_DATABASE)
        self.leave_to_another()

    def leave_to_another(self) -> None:
        """The next task is another worker's."""
        self.spent = True
        self.delivery.claim_ahead = self.delivery.keep = None

    def send(self) -> None:
        """django-q2's signal; of what its receivers raise the log tells."""
        if post_execute_in_worker.has_listeners("django_q"):
            task = self.task
            with self.told():
                post_execute_in_worker.send_robust(sender="django_q", func=task["func"], task=task)

    def forget_what_is_long(self) -> None:
        """The reporter could not be told of it, and to pickle it again is to hold it twice."""
        large = self.delivery.large
        if large and large.size > MOST_BYTES:
            self.task["result"] = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Whoever is told of the outcome, which is written by then: a hook, receivers. They have as
        much time as the function, and leave as little open or running."""
        try:
            with leftovers.removed(self.task["name"]), self.limit():
                yield
        except TimeoutException:
            log.warning("%s: what was told of its end took too long", self.task["name"])
            self.spent = True
        finally:
            self.clean()

    def refuse(self) -> None:
        """Fail a job that was started over and over, and never came to an outcome."""
        reason = (
            f"it was started {self.lease.starts - 1} times, and never came to an end: the most is "
            "Q_MAX_STARTS"
        )
        for job in Job.objects.filter(queue_id=self.lease.queue_id, delivery=self.lease.delivery):
            job.fail(reason, "StartedTooOften")

    def note_again(self) -> None:
        """Say and count that a task is run again: which is rare, so at once."""
        expired = self.lease.expired
        why = "its lease had ended" if expired else "it was given back or retried"
        level = logging.WARNING if expired else logging.INFO
        log.log(level, "again: %s: %s", self.task["name"], why, extra=ids(self.task))
        func = tally.function_of(self.task)
        counts = Counter({(func, tally.REDELIVERED): 1, (func, tally.EXPIRED): int(expired)})
        tally.add_if_possible(counts)
